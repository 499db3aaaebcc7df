"""What a corpus would take, from encoding some of its recordings."""

import functools
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import estimates
from pipelines.corpus import grouping, inputs
from pipelines.corpus.encode import Encode
from pipelines.corpus.options import CorpusOptions, plan_of
from pipelines.corpus.splits import SplitGroup
from pipelines.estimates import Estimate, Took
from pipelines.samples import recordings
from pipelines.samples.recordings import Recording
from stemlode import schemas, tables
from stemlode.addresses.rules import Rules

SAMPLE = 16
_SECONDS = 1 / 3600


def expected(options: PipelineOptions, given: dict[str, str], rules: Rules) -> Estimate:
    """Encode a sample; raises BadUsage as a run does."""
    view, plan = options.view_as(CorpusOptions), plan_of(options)
    usable = functools.partial(recordings.usable, use_parts=view.use_parts)
    every = [*_recordings(given, view, rules, usable)]
    some = estimates.chosen(every, SAMPLE, lambda one: one.recording_id)
    took, rejects = Took(), Counter[str]()
    size = hours = rows = rejected = 0.0
    index = []
    with estimates.passing("corpus") as run, estimates.timed(took):
        step = Encode(run, plan)
        for one in some:
            if view.fingerprints != "off":
                estimates.given(grouping.sketches(one, run))
            found = estimates.given(step.process((one, SplitGroup(one.song_id, None, ())), {}))
            size += sum(sample.size for sample in found.main)
            hours += sum(sample.row["duration_s"] for sample in found.main) * _SECONDS
            rows += len(found.main)
            index += [sample.row for sample in found.main]
            rejects.update(row["error"] for row in found.rejects)
            rejected += len(found.rejects)
        size += _index_bytes(index)
    share = _share(every, some)
    read = _bytes(every)
    return Estimate(
        what="recordings",
        sampled=len(some),
        inputs=len(every),
        rows=rows * share,
        rows_are="samples",
        hours=hours * share,
        read_bytes=read if read is not None else (_bytes(some) or 0.0) * share,
        written_bytes=size * share,
        disk_bytes=size * share + plan.shard_bytes,
        core_hours=took.cpu_s * share * _SECONDS,
        rejects=rejects,
        rejected=rejected * len(every) / max(1, len(some)),
    )


def _recordings(
    given: dict[str, str], view: CorpusOptions, rules: Rules, usable: functools.partial
) -> Iterator[Recording]:
    for path in tables.parts(given["pairs"], "pairs") if "pairs" in given else ():
        yield from (recordings.of_pair(row, rules) for row in tables.rows(path) if usable(row))
    yield from recordings.of_songs(inputs.songs_in_folders(given, view.layout, view.sources))


def _bytes(some: list[Recording]) -> float | None:
    found = estimates.sizes_of([uri for one in some for uri in recordings.uris(one)])
    return None if found is None else float(sum(found))


def _share(every: list[Recording], some: list[Recording]) -> float:
    """How many times as much as the sample all are: by the bytes of their files, where known."""
    if not some:
        return 0.0
    whole, part = _bytes(every), _bytes(some)
    return whole / part if whole and part else len(every) / len(some)


def _index_bytes(rows: list[dict]) -> float:
    """About the index' size: what rows add to an empty table."""
    if not rows:
        return 0.0
    whole = [{**row, "shard": "train/00000.tar", "offset": 0, "size": 0} for row in rows]
    table = pa.Table.from_pylist(whole, schemas.INDEX)
    return float(tables.size(table) - tables.size(table.slice(0, 0)))
