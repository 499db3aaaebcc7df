"""What a run of prune leaves, whether it listened or judged again: pairs, rejects and counts."""

from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from pipelines import transforms
from stemlode import runs, schemas
from stemlode.audio.containers.info import length_notes
from stemlode.progress import meters
from stemlode.tables import Row

WORK = ("audio_seconds", "decode_ms", "score_ms")
FILES = ("tracks_decoded", "lengths_differ", "ends_missing")
COUNTS = ("candidates", *schemas.DECISIONS, "rejected", *WORK, *FILES)
SUMS = ("hours_kept", "hours_dropped")
USED = ("kept", "partly")  # decisions of pairs that corpora may hold once they are mended
TAGS = ("rejects", "counts", "lengths")


def outputs(row: Row, length_s: float | None) -> Iterator[Any]:
    """A row of schemas.SCORED_PAIR and what is counted of it; `length_s` is its mixture's.

    The run's record has the counts, and any runner shows a counter for each decision.
    """
    meters.add(row["decision"])
    yield row
    yield TaggedOutput("counts", ("candidates", 1))
    yield TaggedOutput("counts", (row["decision"], 1))
    mended = (row.get("repaired") or "").split("+") if row["decision"] in USED else []
    for repair in filter(None, mended):
        yield TaggedOutput("counts", (f"repaired_{repair}", 1))
        if length_s is not None:
            share = (row["matched_share"] or 1.0) if row["decision"] == "partly" else 1.0
            yield TaggedOutput("lengths", (f"hours_repaired_{repair}", length_s * share))
    if row["decision"] != "unreadable" and length_s is not None:
        name = "hours_kept" if row["decision"] == "kept" else "hours_dropped"
        yield TaggedOutput("lengths", (name, length_s))


def write(
    run: runs.Run,
    pairs: beam.PCollection,
    rejects: beam.PCollection,
    counts: beam.PCollection,
    lengths: beam.PCollection,
    clear: Sequence[str] = (),
    held_back: transforms.HeldBack | None = None,
) -> None:
    """The end of the pipeline: tables, counts, and the run's record.

    `rejects` are (track id, row of schemas.REJECT), of which one a track is kept; `counts` are
    (name, number), `lengths` (one of SUMS or `hours_repaired_…`, seconds); the rest is as for
    transforms.Finish.
    """
    pipeline = pairs.pipeline
    rejected = (  # the same track may be in the candidates of two songs
        rejects
        | "GroupRejects" >> beam.GroupByKey()
        | "OnceATrack" >> beam.Map(lambda track: min(track[1], key=lambda row: row["record"]))
    )
    manifest = (
        pairs | "Pairs" >> transforms.WriteTable(run, "pairs", schemas.SCORED_PAIR, ["pair_id"]),
        rejected
        | "Rejects" >> transforms.WriteTable(run, "rejects", schemas.REJECT, ["stage", "key"]),
    ) | "Manifest" >> beam.Flatten()
    sums = (  # in whole microseconds, so that the order does not matter
        (pipeline | "NoLengths" >> beam.Create([(name, 0.0) for name in SUMS]), lengths)
        | "Lengths" >> beam.Flatten()
        | "Microseconds" >> beam.MapTuple(lambda name, seconds: (name, round(seconds * 1e6)))
        | "AddUpLengths" >> beam.CombinePerKey(sum)
        | "Sums" >> beam.MapTuple(_in_hours)
    )
    every = (
        pipeline | "Zeros" >> beam.Create([(name, 0) for name in COUNTS]),
        counts,
        sums,
        rejected | "CountRejects" >> beam.FlatMap(transforms.reject_counts),
    ) | "Counts" >> beam.Flatten()
    _ = (manifest, every) | transforms.Finish(run, clear, length_notes, held_back, again=True)


def _in_hours(name: str, time_us: int) -> tuple[str, float]:
    return name, time_us / 3.6e9
