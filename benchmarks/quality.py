"""Precision and recall of both rules on judged pairs of real tracks, and the speed of parsing.

Run with `python -m benchmarks.quality`; takes some ten seconds. The catalogues are found through
STEMLODE_TEST_DATA, the labels in tests/matching/labels.csv: 1 says that the right track is the
instrumental of the same recording and edit as the left one, judged by reading. The extended rule
was tuned on the split `tune`; `held_out` holds other artists. Pairs without durations test titles,
albums and artists alone. The pairs are hard cases, no sample of a catalogue.
"""

import csv
import math
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from matching import extended, rules
from matching.links import links
from matching.titles import artist_key, fuzzy_batch
from pipelines.estimates import wilson

PROJECT = Path(__file__).resolve().parent.parent
LABELS = PROJECT / "tests" / "matching" / "labels.csv"
CATALOGUES = {"discographies": None, "playlists": "; ", "hiphop_titles": ", "}  # between artists
ROUNDS = 5  # the best of them counts

Pair = tuple[str, str]
Track = dict[str, object]


def test_data() -> Path:
    return Path(os.environ.get("STEMLODE_TEST_DATA", PROJECT.parent / "shared" / "data"))


def labels() -> list[dict[str, str]]:
    with LABELS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def catalogue(folder: Path) -> pa.Table:
    """All catalogues as one table; a track that several of them hold keeps all its artists.

    Columns: track_id, title, album, artist_id, artist_ids and duration_s (NaN where unknown).
    Artists go by their names' keys, which the catalogues share, or by id where no name is known.
    """
    merged: dict[str, Track] = {}
    for name, between in CATALOGUES.items():
        for row in pq.read_table(folder / "catalogs" / f"{name}.parquet").to_pylist():
            artist = artist_key(row["artist"] or "") or row["artist_id"]
            credit = row.get("artists") or row["artist"] or ""
            names = credit.split(between) if between else [credit]
            new = {
                "track_id": row["track_id"],
                "title": row["title"],
                "album": row["album"],
                "artist_id": artist,
                "artist_ids": [],
                "duration_s": math.nan,
            }
            track = merged.setdefault(row["track_id"], new)
            track["artist_ids"] += [artist_key(name) or artist for name in names]
            if math.isnan(track["duration_s"]):
                track["duration_s"] = row.get("duration_s") or math.nan
    return pa.Table.from_pylist(list(merged.values()))


def found(tracks: pa.Table, rule: rules.Rule) -> set[Pair]:
    """The pairs of track ids that a rule proposes."""
    said = rules.read_titles(
        tracks["title"].combine_chunks(), tracks["album"].combine_chunks(), rule
    )
    for name, column in zip(("fuzzy_title", "marker", "other_titles"), said, strict=True):
        tracks = tracks.append_column(name, column)
    rows, artists, keys = links(
        tracks.append_column("work_id", pa.nulls(len(tracks), pa.string())), rule
    )
    chosen = tracks.select(["marker", "duration_s"]).take(pa.array(rows))
    linked = chosen.append_column("artist_id", artists).append_column("fuzzy_title", keys)
    mixtures, instrumentals = rules.pairs(linked, rule)
    ids = np.array(tracks["track_id"].to_pylist())[rows]
    return set(zip(ids[mixtures].tolist(), ids[instrumentals].tolist(), strict=True))


def judged(tracks: pa.Table, rule: rules.Rule) -> Iterator[tuple[str, bool, bool, dict[str, str]]]:
    """(kind, proposed, right, label) for every label; kinds are "durations" and "titles only"."""
    durations = dict(
        zip(tracks["track_id"].to_pylist(), tracks["duration_s"].to_pylist(), strict=True)
    )
    at = tracks.column_names.index("duration_s")
    any_length = tracks.set_column(at, "duration_s", pa.array(np.zeros(len(tracks))))
    proposed = {
        "durations": found(tracks, rule),
        "titles only": found(any_length, rule),
    }
    for label in labels():
        pair = (label["left_track_id"], label["right_track_id"])
        known = all(not math.isnan(durations[track]) for track in pair)
        kind = "durations" if known else "titles only"
        yield kind, pair in proposed[kind], label["label"] == "1", label


def shown(hits: int, trials: int) -> str:
    low, high = wilson(hits / trials, trials) if trials else (0.0, 1.0)
    return f"{hits / trials if trials else math.nan:.3f} [{low:.3f}, {high:.3f}]"


def quality(tracks: pa.Table) -> None:
    print(f"{'rule':9} {'split':9} {'pairs with':12} {'n':>4}  precision [95 %]      recall [95 %]")
    for rule in (rules.THESIS, rules.EXTENDED):
        counts: Counter[tuple[str, str, bool, bool]] = Counter()
        errors: Counter[tuple[str, str]] = Counter()
        for kind, proposed, right, label in judged(tracks, rule):
            for group in (kind, "either"):
                counts[label["split"], group, proposed, right] += 1
            if proposed != right and label["split"] == "held_out":
                errors["missed" if right else "wrong", label["why"]] += 1
        for split in ("tune", "held_out"):
            for group in ("durations", "titles only", "either"):
                hits, wrong, missed, passed = (
                    counts[split, group, proposed, right]
                    for proposed, right in (
                        (True, True),
                        (True, False),
                        (False, True),
                        (False, False),
                    )
                )
                print(
                    f"{rule.name:9} {split:9} {group:12} {hits + wrong + missed + passed:4}  "
                    f"{shown(hits, hits + wrong)}  {shown(hits, hits + missed)}"
                )
        for (kind, why), number in errors.most_common(None if rule is rules.EXTENDED else 5):
            print(f"  {rule.name}, held out, {kind} {number}×: {why}")


def speed(tracks: pa.Table) -> None:
    pa.set_cpu_count(1)
    titles, albums = tracks["title"].combine_chunks(), tracks["album"].combine_chunks()
    some = titles[: len(titles) // 20].to_pylist()

    def rate(work: object, rows: int) -> float:
        best = math.inf
        for _ in range(ROUNDS):
            started = time.perf_counter()
            work()
            best = min(best, time.perf_counter() - started)
        return rows / best

    rates = {
        "parse, title by title": rate(lambda: [extended.parse(title) for title in some], len(some)),
        "parse_batch": rate(lambda: extended.parse_batch(titles), len(titles)),
        "parse_batch with albums": rate(lambda: extended.parse_batch(titles, albums), len(titles)),
        "fuzzy_batch (thesis)": rate(lambda: fuzzy_batch(titles), len(titles)),
    }
    for name, value in rates.items():
        print(f"{name:24} {value / 1000:8.0f} k titles/s on one core")


if __name__ == "__main__":
    everything = catalogue(test_data())
    print(f"{len(everything)} tracks, {len(labels())} judged pairs")
    quality(everything)
    speed(everything)
