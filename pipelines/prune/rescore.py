"""The pairs of an earlier run of prune, judged again by what it measured: no audio is read."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import apache_beam as beam

from matching.sound import decisions
from matching.sound.decisions import Thresholds
from matching.sound.scores import Scores
from pipelines.prune import output
from stemlode import runs, tables
from stemlode.runs import BadUsage
from stemlode.tables import Row

MEASURED = ("trim_db", "sample_rate", "n_fft", "hop_length", "max_offset", "align")


def options_of(folder: str, added: Mapping[str, Any]) -> Row:
    """How the pairs of a folder were measured; BadUsage where it is no finished run of prune.

    `added` are options that its plan may lack, each with what that means.
    """
    record = runs.record(folder)
    if record["verb"] != "prune":
        raise BadUsage(f"--rescore {folder}: holds a run of {record['verb']}, not of prune")
    options = record.get("options")
    found = {n: options.get(n, added.get(n)) for n in MEASURED} if isinstance(options, dict) else {}
    for name in MEASURED:
        kinds = (bool,) if name == "align" else (int, float)
        if type(found.get(name)) not in kinds:
            raise BadUsage(f"--rescore {folder}: its run.json does not say --{name}")
    return found


def build(pipeline: beam.Pipeline, folder: str, window: Thresholds, run: runs.Run) -> None:
    """The pipeline: scored pairs → the same with new decisions; rejects stay."""
    candidates = runs.record(folder).get("inputs", {}).get("candidates")
    if candidates:  # a report still finds where they come from
        run = dataclasses.replace(run, inputs=run.inputs | {"candidates": candidates})
    found = (
        pipeline
        | "Tables" >> beam.Create(tables.parts(folder, "pairs"))
        | "SpreadTables" >> beam.Reshuffle()
        | "ReadPairs" >> beam.FlatMap(tables.rows)
        | "Judge" >> beam.FlatMap(judge, window).with_outputs(*output.TAGS, main="pairs")
    )
    rejects = (
        pipeline
        | "RejectTables" >> beam.Create(tables.parts(folder, "rejects"))
        | "ReadRejects" >> beam.FlatMap(tables.rows)
        | "KeyByTrack" >> beam.Map(lambda row: (row["key"], row))
    )
    output.write(run, found.pairs, rejects, found.counts, found.lengths)


def judge(row: Row, window: Thresholds) -> Iterator[Any]:
    """A scored pair under other thresholds; what could not be read stays unreadable.

    Its length is the one that the catalogue states, since the table holds no other.
    """
    if row["decision"] != "unreadable":
        decision, reason = decisions.decide(scores_of(row), window)
        row = row | {"decision": decision, "reason": reason}
    stated = row["mix"]["duration_s"]
    yield from output.outputs(row, stated if 0 < stated < math.inf else None)


def scores_of(row: Row) -> Scores:
    """What was measured, from a row of schemas.SCORED_PAIR."""
    values = {field.name: row[field.name] for field in dataclasses.fields(Scores)}
    return Scores(**values)
