"""What an engine found, written as a run's tables."""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from matching import originals
from pipelines.catalogue import rejections, tracks
from pipelines.catalogue.reading import RowBatch
from pipelines.match import record
from pipelines.match.record import Task
from sql.match import Found
from stemlode import runs, schemas, tables
from stemlode.tables import Row


@dataclass(frozen=True)
class Matched:
    """What an engine found, the tracks that it named (schema TRACK), and the Rejects."""

    found: Found
    tracks: pa.Table
    rejects: list[Row]
    rows_read: int


def write(
    run: runs.Run, task: Task, matched: Matched, engine: str, *, catalog: str, allow_rejects: bool
) -> None:
    """Write a run's tables, and finish it; Failed where most rows of the catalogue are rejects."""
    kept, further = tracks.once(matched.tracks)
    rejects = pa.Table.from_pylist([*matched.rejects, *further], schemas.REJECT)
    found = candidates(matched.found.candidates, kept)
    chosen = originals.likeliest(found) if task.one_to_one else found
    written = [
        tables.write(run, name, piece)
        for table, rows, order in (
            ("candidates", chosen, ["pair_id"]),
            ("rejects", rejects, ["stage", "key"]),
        )
        for name, piece in tables.cut(table, rows, order)
    ]
    totals = dict(matched.found.counts)
    others = rejects.num_rows + totals["empty_keys"] + totals["instrumentals"]
    totals |= {
        "tracks_read": matched.rows_read,
        "rejected": rejects.num_rows,
        "mixtures": matched.rows_read - others,
        "songs": len(pc.unique(chosen["song_id"])),
        "candidates": chosen.num_rows,
        "not_chosen": found.num_rows - chosen.num_rows,
    }
    by_reason = {} if allow_rejects else rejections.tallied(matched.rejects)
    record.finish(
        run,
        task,
        totals,
        {row["path"]: row["sha256"] for row in written},
        matched.found.large.to_pylist(),
        matched.found.releases,
        matched.found.words,
        rejections.verdict(catalog, matched.rows_read, by_reason),
        engine=engine,
        **matched.found.facts,
    )


def candidates(found: pa.Table, kept: pa.Table) -> pa.Table:
    """Pairs as rows of schemas.CANDIDATE, with both tracks."""
    columns = {name: found[name] for name in found.schema.names}
    for side in ("mix", "instrumental"):
        rows = pc.index_in(found[f"{side}_track_id"], value_set=kept["track_id"].combine_chunks())
        if rows.null_count:
            raise runs.Failed("the catalogue changed while it was read; run again")
        whole = kept.take(rows).combine_chunks()
        parts = [column.combine_chunks() for column in whole.columns]
        columns[side] = pa.StructArray.from_arrays(parts, fields=list(schemas.TRACK))
        columns[f"{side}_audio_uri"] = whole["audio_uri"]
    return pa.table([columns[name] for name in schemas.CANDIDATE.names], schemas.CANDIDATE)


def sorted_out(batches: Iterable[RowBatch], task: Task) -> tuple[pa.Table, list[Row]]:
    """Rows as Tracks, and those that are none as Rejects."""
    named = [schemas.TRACK.empty_table()]
    rejects: list[Row] = []
    for batch in batches:
        checked = tracks.check(batch, task.aliases)
        named.append(tracks.table(batch, checked, checked.good))
        rejects += tracks.rejects(batch, checked)
    return pa.concat_tables(named), rejects
