"""`stemlode match`: a catalogue of tracks → pairs of a mixture and its instrumental, by title.

Thesis ch. 3.5.2, eq. 3.4, or the extended rule (`matching.extended`). Three engines write the same
bytes: DuckDB in this process, a Beam pipeline (`pipelines.match.on_beam`), BigQuery where the
catalogue lies (both by the SQL in `sql/`; `on_duckdb`, `on_bigquery`). So the engine is no part of
the run's plan: what one has finished, another finds done.
"""

import dataclasses
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from matching import rules
from pipelines.catalogue import aliases
from pipelines.catalogue import options as catalogue_options
from pipelines.catalogue.reading import Catalogue
from pipelines.launch import carry_out, launch
from pipelines.match import estimate, explain, on_beam, on_bigquery, output
from pipelines.match.on_duckdb import Limits, by_duckdb
from pipelines.match.options import ADDED, BEAM, BIGQUERY, MatchOptions, settle
from pipelines.match.record import Task
from pipelines.options import SharedOptions, Verb
from stemlode import runs
from stemlode.runs import BadUsage


def build(pipeline: beam.Pipeline, options: PipelineOptions, run: runs.Run) -> None:
    """The verb as a Beam pipeline."""
    view = options.view_as(MatchOptions)
    given, task = catalogue_of(options), task_of(options)
    on_beam.build(pipeline, given, task, view.buckets, run, allow_rejects=view.allow_rejects)


def catalogue_of(options: PipelineOptions) -> Catalogue:
    """The catalogue of files that the options name."""
    view = options.view_as(MatchOptions)
    return catalogue_options.catalogue_of(VERB.given(options)["catalog"], view)


def task_of(options: PipelineOptions) -> Task:
    """What makes a pair. BadUsage for a run that another version of the rule began."""
    view, given = options.view_as(MatchOptions), VERB.given(options)
    newest = rules.RULES[view.rule]
    if view.rule_version != newest.version:
        raise BadUsage(
            f"--rule {view.rule}: the run was begun with version {view.rule_version} of the rule, "
            f"this is {newest.version}; choose another folder, or start over with --overwrite"
        )
    rule = dataclasses.replace(
        newest, tolerance_s=view.tolerance, covers=view.covers, artist_names=view.artist_names
    )
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
        "allow_rejects",
        "engine",
        "estimate",
        "explain",
        "buckets",
        "memory",
        "threads",
        "spill",
        "maximum_bytes_billed",
        "bigquery_endpoint",
    ),
    dry=("estimate", "explain"),
    named=("catalog",),
    without_inputs=("explain",),
    added=ADDED,
    imports={"charset_normalizer": ""},
    inputs_here=("aliases",),
)
parser = VERB.parser


def main(argv: Sequence[str]) -> int:
    """Run `stemlode match`; the exit status."""
    options = VERB.parse(argv)
    engine = settle(options, VERB.beam_flags(argv))
    view = options.view_as(MatchOptions)
    if view.explain:
        return _explain(options, engine)
    if engine == BIGQUERY:
        return _in_bigquery(options, view)
    given = catalogue_of(options)
    parts = given.parts()  # what is wrong with the catalogue is said before anything is written
    if view.estimate:
        task = task_of(options)
        found = estimate.expected(given, task.rule, task.most_per_key, task.aliases)
        print("\n".join(map(runs.on_one_line, estimate.lines(found))))
        return 0
    if engine == BEAM:
        for line in given.alone(parts):
            print(runs.on_one_line(f"match: {line}"))
        return launch(VERB, options)

    def work(run: runs.Run) -> None:
        task, limits = (
            task_of(options),
            Limits(view.memory, view.threads, view.spill),
        )
        matched = by_duckdb(given, task, limits)
        output.write(
            run, task, matched, engine, catalog=given.path, allow_rejects=view.allow_rejects
        )

    return carry_out(VERB, options, VERB.given(options), work)


def _explain(options: PipelineOptions, engine: str) -> int:
    """Say what two titles or tracks are read as."""
    view, task = options.view_as(MatchOptions), task_of(options)
    if options.view_as(SharedOptions).catalog is None:
        sides = explain.of_titles(view.explain, task.rule)
    elif engine == BIGQUERY:
        raise BadUsage("--explain reads files: without --catalog it takes two titles")
    else:
        sides = explain.of_tracks(catalogue_of(options), view.explain, task)
    print("\n".join(map(runs.on_one_line, explain.lines(sides, task.rule))))
    return 0


def _in_bigquery(options: PipelineOptions, view: MatchOptions) -> int:
    catalog = options.view_as(SharedOptions).catalog
    project = options.view_as(GoogleCloudOptions).project
    inputs = {name: path for name, path in VERB.given(options).items() if name != "catalog"}
    with on_bigquery.bigquery_table(
        catalog, view.columns, project, view.bigquery_endpoint
    ) as table:
        if view.estimate:
            billed = table.bytes_billed(task_of(options))
            print(f"BigQuery will bill {billed:,} bytes (its own dry run)")
            return 0

        def work(run: runs.Run) -> None:
            task = task_of(options)
            matched = table.match(task, view.maximum_bytes_billed)
            allow = view.allow_rejects
            output.write(run, task, matched, BIGQUERY, catalog=catalog, allow_rejects=allow)

        plan = {"catalog": catalog, "catalog_modified": table.modified()}
        return carry_out(VERB, options, inputs, work, **plan)
