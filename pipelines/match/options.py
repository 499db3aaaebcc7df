"""What `stemlode match` may be asked."""

import argparse
import math

from apache_beam.options.pipeline_options import PipelineOptions

from matching import rules
from pipelines.catalogue import options as catalogue_options
from pipelines.match.on_duckdb import MEMORY
from pipelines.options import VerbOptions
from sql import on_duckdb
from stemlode.runs import BadUsage

DUCKDB, BEAM, BIGQUERY = "duckdb", "beam", "bigquery"
MOST_BUCKETS = 100_000
MOST_PER_KEY = 1_000_000
BIGQUERY_FLAGS = ("--project",)  # Beam's own, which BigQuery needs too
# Options that came later, and what plans without them mean.
ADDED = {**catalogue_options.ADDED, "rule_version": 1, "covers": False, "artist_names": False}


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
        add(
            "--rule-version",
            type=int,
            help=argparse.SUPPRESS,  # stands in the plan; nobody has to name it
        )
        add(
            "--covers",
            action="store_true",
            help="extended: also tracks that say that they record another artist's song, as those "
            "of karaoke labels do (“In the Style of …”, “Made Famous by …”)",
        )
        add(
            "--artist-names",
            action="store_true",
            help="extended: artists are one where their names are spelt alike, whatever their ids; "
            "such a pair's artist_id is “name:” and the name's key",
        )
        tolerances = ", ".join(f"{r.tolerance_s:g} ({name})" for name, r in rules.RULES.items())
        add(
            "--tolerance",
            type=float,
            metavar="SECONDS",
            help=f"the durations of a pair differ by less than this; by default {tolerances}. "
            "Recordings at speeds that differ by 1 percent, which `prune` mends, differ by more "
            "than a second from 100 s on: a wider tolerance lets it hear them",
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
            "--explain",
            nargs=2,
            metavar=("A", "B"),
            help="write nothing; say what two titles are read as, or with --catalog two track ids, "
            "and why they pair or do not",
        )
        catalogue_options.add_arguments(parser, "--format")
        add("--buckets", type=int, default=64, help="beam: how many groups the work is spread over")
        add(
            "--memory",
            default=MEMORY,
            help="duckdb: memory it may use before it spills to disk",
        )
        add("--threads", type=int, help="duckdb: how many; one per core by default")
        add(
            "--spill",
            metavar="FOLDER",
            help="duckdb: where it spills to; by default the system's temporary folder",
        )
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


def settle(options: PipelineOptions, beam_flags: list[str]) -> str:
    """Fill in defaults, and check what the options say; the engine."""
    view = options.view_as(MatchOptions)
    further = [flag for flag in beam_flags if flag not in BIGQUERY_FLAGS]
    view.engine = view.engine or (BEAM if further else DUCKDB)
    if further and view.engine != BEAM:
        raise BadUsage(f"{further[0]} is an option of Beam's: it needs --engine {BEAM}")
    for name in ("maximum_bytes_billed", "bigquery_endpoint"):
        if getattr(view, name) is not None and view.engine != BIGQUERY:
            raise BadUsage(f"--{name.replace('_', '-')} needs --engine {BIGQUERY}")
    written = [flag for flag in catalogue_options.given(view) if flag != "--columns"]
    if written and view.engine == BIGQUERY:
        raise BadUsage(f"{written[0]} says how files are written; in BigQuery a query can say it")
    _settle_rule(view)
    if not 1 <= view.buckets <= MOST_BUCKETS:
        raise BadUsage(f"--buckets {view.buckets}: between 1 and {MOST_BUCKETS:,}")
    for name in ("max_key", "threads", "maximum_bytes_billed"):
        value = getattr(view, name)
        if value is not None and value < 1:
            raise BadUsage(f"--{name.replace('_', '-')} {value}: at least 1")
    if not on_duckdb.is_size(view.memory):
        raise BadUsage(f"--memory {view.memory}: write a size such as 4GiB")
    return view.engine


def _settle_rule(view: MatchOptions) -> None:
    """The same of those options that make a rule."""
    if view.rule_version is None:
        view.rule_version = rules.RULES[view.rule].version
    for name in ("covers", "artist_names"):
        if getattr(view, name) and view.rule != rules.EXTENDED.name:
            raise BadUsage(f"--{name.replace('_', '-')} needs --rule {rules.EXTENDED.name}")
    if view.tolerance is None:
        view.tolerance = rules.RULES[view.rule].tolerance_s
    if not (math.isfinite(view.tolerance) and view.tolerance > 0):
        raise BadUsage(f"--tolerance {view.tolerance}: a number of seconds above zero")
