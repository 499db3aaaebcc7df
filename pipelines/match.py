"""`stemlode match`: a catalogue of tracks → pairs of a mixture and its instrumental, by title.

Thesis ch. 3.5.2, eq. 3.4, or the extended rule (`matching.extended`). Three engines write the same
bytes: DuckDB in this process, a Beam pipeline (`pipelines.match_beam`), BigQuery where the
catalogue lies (both by the SQL in `sql/`; `pipelines.engines`). So the engine is no part of the
run's plan: what one has finished, another finds done.
"""

if __name__ == "__main__":
    import sys

    from stemlode import run as run_verb

    sys.exit(run_verb("pipelines.match", sys.argv[1:]))

import argparse
import dataclasses
import math
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from matching import rules
from pipelines import aliases, engines, estimate, match_beam, runs
from pipelines.catalogue import COLUMNS, Catalogue
from pipelines.launch import carry_out, launch
from pipelines.match_record import Task
from pipelines.options import SharedOptions, Verb, VerbOptions
from pipelines.runs import BadUsage
from sql import on_duckdb

DUCKDB, BEAM, BIGQUERY = "duckdb", "beam", "bigquery"
MOST_BUCKETS = 100_000
MOST_PER_KEY = 1_000_000
BIGQUERY_FLAGS = ("--project",)  # Beam's own, which BigQuery needs too


class MatchOptions(VerbOptions):
    """What `stemlode match` offers beside its input and output."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--engine",
            choices=(DUCKDB, BEAM, BIGQUERY),
            help="what does the work; changes no result. duckdb: inside this process, the default; "
            "beam: a pipeline, the default where an option of Beam's is given; bigquery: one query "
            "job where --catalog is a table (project.dataset.table) or a query (SELECT …)",
        )
        add(
            "--rule",
            choices=sorted(rules.RULES),
            default=rules.THESIS.name,
            help="what makes two tracks a pair: the thesis' eq. 3.4, or what a decade of titles "
            "taught beyond it",
        )
        tolerances = ", ".join(f"{r.tolerance_s:g} ({name})" for name, r in rules.RULES.items())
        add(
            "--tolerance",
            type=float,
            metavar="SECONDS",
            help=f"the durations of a pair differ by less than this; by default {tolerances}",
        )
        add(
            "--max-key",
            type=int,
            default=MOST_PER_KEY,
            metavar="PAIRS",
            help="an artist's title that would give more candidates gives none, and is reported",
        )
        add(
            "--one-to-one",
            action="store_true",
            help="keep one original for each instrumental: of the same album, else of the nearest "
            "duration, else with an ISRC of one registrant and year, else the earliest release",
        )
        add(
            "--estimate",
            action="store_true",
            help="write nothing; print how many candidates to expect, the largest keys and the "
            "hours of audio; of a catalogue in BigQuery the bytes that a run would be billed",
        )
        add(
            "--columns",
            metavar="OURS=THEIRS,…",
            help="what the catalogue calls our columns, for instance title=name,duration_s=length; "
            f"ours are {', '.join(COLUMNS)}, of which an artist or an artist_id "
            "will do, and track_id, title and duration_s are needed; prune needs audio_uri",
        )
        add("--buckets", type=int, default=64, help="beam: how many groups the work is spread over")
        add("--memory", default=engines.MEMORY, help="duckdb: what it may hold before it spills")
        add("--threads", type=int, help="duckdb: how many; one a core by default")
        add("--spill", metavar="FOLDER", help="duckdb: where it spills; the system's by default")
        add(
            "--maximum-bytes-billed",
            type=int,
            metavar="BYTES",
            help="bigquery: refuse a job that would bill more",
        )
        add(
            "--bigquery-endpoint",
            metavar="URL",
            help="bigquery: a server other than Google's, asked without credentials",
        )


def build(pipeline: beam.Pipeline, options: PipelineOptions, run: runs.Run) -> None:
    """The verb as a Beam pipeline."""
    buckets = options.view_as(MatchOptions).buckets
    match_beam.build(pipeline, catalogue_of(options), task_of(options), buckets, run)


def catalogue_of(options: PipelineOptions) -> Catalogue:
    """The catalogue of files that the options name."""
    return Catalogue(VERB.given(options)["catalog"], options.view_as(MatchOptions).columns)


def task_of(options: PipelineOptions) -> Task:
    """What makes a pair."""
    view, given = options.view_as(MatchOptions), VERB.given(options)
    rule = dataclasses.replace(rules.RULES[view.rule], tolerance_s=view.tolerance)
    known = aliases.read(given["aliases"]) if "aliases" in given else None
    return Task(rule, view.max_key, view.one_to_one, known)


VERB = Verb(
    "match",
    "Find pairs of a recording and its instrumental in a catalogue, by artist, title and duration.",
    ("catalog",),
    build,
    MatchOptions,
    optional_inputs=("aliases",),
    neutral=(
        "engine",
        "estimate",
        "buckets",
        "memory",
        "threads",
        "spill",
        "maximum_bytes_billed",
        "bigquery_endpoint",
    ),
    dry=("estimate",),
)


def main(argv: Sequence[str]) -> int:
    """Run `stemlode match`; the exit status."""
    options = VERB.parse(argv)
    engine = _settle(options, VERB.beam_flags(argv))
    view = options.view_as(MatchOptions)
    if engine == BIGQUERY:
        return _in_bigquery(options, view)
    given = catalogue_of(options)
    given.parts()  # what is wrong with the catalogue is said before anything is written
    if view.estimate:
        task = task_of(options)
        found = estimate.expected(given, task.rule, task.most_per_key, task.aliases)
        print("\n".join(estimate.lines(found)))
        return 0
    if engine == BEAM:
        return launch(VERB, options)

    def work(run: runs.Run) -> None:
        task, limits = task_of(options), engines.Limits(view.memory, view.threads, view.spill)
        engines.write(run, task, engines.by_duckdb(given, task, limits), engine)

    return carry_out(VERB, options, VERB.given(options), work)


def _in_bigquery(options: PipelineOptions, view: MatchOptions) -> int:
    catalog = options.view_as(SharedOptions).catalog
    task, project = task_of(options), options.view_as(GoogleCloudOptions).project
    inputs = {name: path for name, path in VERB.given(options).items() if name != "catalog"}
    with engines.bigquery_table(catalog, view.columns, project, view.bigquery_endpoint) as table:
        if view.estimate:
            print(f"BigQuery will bill {table.bytes_billed(task):,} bytes (its own dry run)")
            return 0

        def work(run: runs.Run) -> None:
            matched = table.match(task, view.maximum_bytes_billed)
            engines.write(run, task, matched, BIGQUERY)

        plan = {"catalog": catalog, "catalog_modified": table.modified()}
        return carry_out(VERB, options, inputs, work, **plan)


def _settle(options: PipelineOptions, beam_flags: list[str]) -> str:
    """Fill in defaults, and check what the options say; the engine."""
    view = options.view_as(MatchOptions)
    further = [flag for flag in beam_flags if flag not in BIGQUERY_FLAGS]
    view.engine = view.engine or (BEAM if further else DUCKDB)
    if further and view.engine != BEAM:
        raise BadUsage(f"{further[0]} is an option of Beam's: it needs --engine {BEAM}")
    for name in ("maximum_bytes_billed", "bigquery_endpoint"):
        if getattr(view, name) is not None and view.engine != BIGQUERY:
            raise BadUsage(f"--{name.replace('_', '-')} needs --engine {BIGQUERY}")
    if view.tolerance is None:
        view.tolerance = rules.RULES[view.rule].tolerance_s
    if not (math.isfinite(view.tolerance) and view.tolerance > 0):
        raise BadUsage(f"--tolerance {view.tolerance}: a number of seconds above zero")
    if not 1 <= view.buckets <= MOST_BUCKETS:
        raise BadUsage(f"--buckets {view.buckets}: between 1 and {MOST_BUCKETS:,}")
    for name in ("max_key", "threads", "maximum_bytes_billed"):
        value = getattr(view, name)
        if value is not None and value < 1:
            raise BadUsage(f"--{name.replace('_', '-')} {value}: at least 1")
    if not on_duckdb.is_size(view.memory):
        raise BadUsage(f"--memory {view.memory}: write a size such as 4GiB")
    return view.engine
