"""Parquet tables written from a pipeline: same rows, same bytes, in any order and on any runner."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsDict, AsList, AsSingleton

from stemlode import files, runs, tables
from stemlode.addresses.rules import NOT_OPENED
from stemlode.progress import state
from stemlode.retry import patiently
from stemlode.shards import songs
from stemlode.tables import ROWS_PER_FILE, Row, file_name, order, place, read_part, write

# Writes what is made of all other files of a run, by their hashes; its own hashes.
Cards = Callable[[runs.Run, Mapping[str, str]], dict[str, str]]
# Why a run is no success, of itself, its counts and its files; None for one that is.
HeldBack = Callable[[runs.Run, Mapping[str, float], Sequence[str]], str | None]


def reject_counts(row: Row) -> list[tuple[str, int]]:
    """What a reject counts as: also by what it is where its file was not opened."""
    return [("rejected", 1), *([(row["error"], 1)] if row["error"] in NOT_OPENED else [])]


class WriteTable(beam.PTransform):
    """Rows (dicts) → Parquet files `{name}-00000-of-00001.parquet`, and a manifest row for each.

    A row's file depends on its `key` columns and on the number of rows alone, and rows are sorted
    within a file, so any rerun writes the same bytes. An empty table has one file without rows.
    A manifest row has `path` (below the output folder), `rows`, `bytes` and `sha256`.
    """

    def __init__(
        self,
        run: runs.Run,
        name: str,
        schema: pa.Schema,
        key: Sequence[str],
        rows_per_file: int = ROWS_PER_FILE,
    ) -> None:
        super().__init__()
        self.run, self.name, self.schema, self.key = run, name, schema, tuple(key)
        self.rows_per_file = rows_per_file

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        parts = AsSingleton(
            rows
            | "Count" >> beam.combiners.Count.Globally()
            | "Parts" >> beam.Map(lambda count: max(1, -(-count // self.rows_per_file)))
        )
        every = (
            rows.pipeline
            | "Start" >> beam.Create([None])
            | "EveryPart" >> beam.FlatMap(lambda _, n: [(part, None) for part in range(n)], parts)
        )
        placed = rows | "Place" >> beam.Map(_placed, self.key, parts)
        return (
            (placed, every)
            | "IntoParts" >> beam.Flatten()
            | "Group" >> beam.GroupByKey()
            | "Write" >> beam.Map(self._write, parts)
        )

    def _write(self, group: tuple[int, Iterable[Row | None]], parts: int) -> Row:
        part, rows = group
        some = (row for row in rows if row is not None)
        found = sorted(some, key=lambda row: order(row, self.key))
        table = pa.Table.from_pylist(found, self.schema)
        name = file_name(self.name, part, parts)
        return patiently(lambda: write(self.run, name, table), f"--output {self.run.output}")


class Finish(beam.PTransform):
    """The last step of every pipeline: waits for all manifest rows, then completes the run.

    Takes (manifest rows, (name, number) counts); counts of a name are added up. It runs inside the
    pipeline because a remote launcher may be gone by then.
    """

    def __init__(
        self,
        run: runs.Run,
        clear: Sequence[str] = (),
        notes: Callable[[Mapping[str, float]], list[str]] | None = None,
        held_back: HeldBack | None = None,
        *,
        again: bool = False,
        facts: Mapping[str, Any] | None = None,
        cards: Cards | None = None,
    ) -> None:
        """`clear` names folders below the output that only served the way there; `notes` says of
        the counts what the user should know; `held_back` says of the run, its counts and its files
        why it is no success (see `Run.finish`), if it is none; `again`: the folders stay where
        files were not opened, for an attempt that tries these again; `facts` are further entries
        of the record; `cards` comes last, where the run is a success."""
        super().__init__()
        self.run, self.clear, self.notes, self.held_back = run, tuple(clear), notes, held_back
        self.again, self.facts, self.cards = again, dict(facts or {}), cards

    def expand(self, inputs: tuple[beam.PCollection, beam.PCollection]) -> beam.PCollection:
        manifest, counts = inputs
        totals = counts | "AddUp" >> beam.CombinePerKey(sum)
        return (
            manifest.pipeline
            | "TheEnd" >> beam.Create([None])
            | "Finish" >> beam.Map(self._finish, AsList(manifest), AsDict(totals))
        )

    def _finish(self, _: None, manifest: list[Row], counts: Row) -> None:
        outputs = {row["path"]: row["sha256"] for row in manifest}

        def finish() -> None:
            notes = self.notes(counts) if self.notes else []
            facts: dict[str, Any] = self.facts | ({"notes": notes} if notes else {})
            if self.held_back and (why := self.held_back(self.run, counts, [*outputs])):
                facts |= {"held_back": why, "acceptable": False}
            again = self.again and any(counts.get(name) for name in NOT_OPENED)
            for folder in () if again or "held_back" in facts else self.clear:  # a rerun needs them
                files.remove(self.run.path(folder))
            causes = tables.reject_causes(self.run, outputs)
            made = self.cards(self.run, outputs) if self.cards and "held_back" not in facts else {}
            self.run.finish(
                {**counts, **causes}, outputs | made, **state.distributions(self.run), **facts
            )

        patiently(finish, f"--output {self.run.output}")


class CorpusSongs(beam.PTransform):
    """The index of a corpus → (recording, its rows in order), see `shards.songs`."""

    def __init__(self, corpus: str) -> None:
        super().__init__()
        self.corpus = corpus

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        recordings = AsDict(
            pipeline
            | "SongTables" >> beam.Create(songs.tables(self.corpus, "songs"))
            | "ReadSongs" >> beam.FlatMap(_recordings)
            | "BySongId" >> beam.GroupByKey()
            | "Recordings" >> beam.MapTuple(lambda song_id, found: (song_id, sorted(found)))
        )
        return (
            pipeline
            | "IndexTables" >> beam.Create(songs.tables(self.corpus, "index"))
            | "ReadIndex" >> beam.FlatMap(_index_rows)
            | "BySong" >> beam.Map(lambda row, known: (songs.song_of(row, known), row), recordings)
            | "Songs" >> beam.GroupByKey()
            | "InOrder" >> beam.MapTuple(_in_order)
        )


def _recordings(path: str) -> Iterable[tuple[str, str]]:
    table = read_part(path, ["song_id", "recording_id"])
    return zip(table["song_id"].to_pylist(), table["recording_id"].to_pylist(), strict=True)


def _index_rows(path: str) -> Iterable[Row]:
    for batch in read_part(path, songs.COLUMNS).to_batches(max_chunksize=1024):
        yield from batch.to_pylist(maps_as_pydicts="strict")


def _in_order(name: str, rows: Iterable[Row]) -> tuple[str, list[Row]]:
    return name, sorted(rows, key=lambda row: (row["start_s"], row["sample_id"]))


def _placed(row: Row, key: tuple[str, ...], parts: int) -> tuple[int, Row]:
    return place([str(row[k]) for k in key], parts), row
