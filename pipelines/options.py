"""The command line of the Beam verbs: options, help, and what unknown options mean.

Options are `PipelineOptions` subclasses, so that a template's launcher can use them unchanged.
"""

import argparse
import dataclasses
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import google.auth
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.runners import create_runner

from stemlode import files, plans
from stemlode.arguments import Parser
from stemlode.runs import BadUsage, Failed, Run

PROJECT = re.compile(r"[a-z][-a-z0-9.:]*")
LOCAL_RUNNER = "FnApiRunner"
LOCAL_RUNNERS = ("fnapirunner", "directrunner", "bundlebaseddirectrunner", "prismrunner")

# Two classes that both define --output collide, so what verbs share is defined once, here.
INPUTS = {
    "catalog": "catalogue of tracks: a Parquet, CSV or JSON Lines file, a folder or a glob",
    "aliases": "table of artists' names (alias) and the id of each (artist_id)",
    "candidates": "folder written by `stemlode match`",
    "pairs": "folder written by `stemlode prune`",
    "corpus": "folder written by `stemlode corpus`",
    "stems": "folder of multitrack songs, in a layout of the field or by --mapping",
    "mapping": "TOML file that says which file of a song's folder is which source",
    "vocals": "folder of songs that are nothing but voice",
    "instrumentals": "folder of songs without any voice",
    "splits": "CSV of song,split: where listed songs go, whatever --split and --seed say",
    "music": "folder of audio files",
}


class SharedOptions(PipelineOptions):
    """Inputs, named by what they are, and the output folder."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        for name, sentence in INPUTS.items():
            parser.add_argument(f"--{name}", metavar="PATH", help=sentence)
        parser.add_argument("--output", metavar="FOLDER", help="folder to write; a rerun resumes")
        parser.add_argument(
            "--overwrite", action="store_true", help="start over where the folder holds a run"
        )


class VerbOptions(PipelineOptions):
    """Base of a verb's own options.

    Beam parses the direct subclasses of PipelineOptions all together, whichever verb runs. It does
    not see these, so two verbs of one process may each have a `--sample-rate` of its own kind.
    """


ADDRESSES = ("allow_uri", "no_follow_links")  # options of verbs that open what a catalogue names


def add_addresses(parser: argparse.ArgumentParser) -> None:
    """Those options."""
    parser.add_argument(
        "--allow-uri",
        action="append",
        metavar="BEGINNING",
        help="open files of the catalogue whose addresses begin so, or that lie in this folder, "
        "although it is none of the run's inputs', local, private or of another kind "
        "(docs/addresses.md); may be given again",
    )
    add_no_follow_links(parser)


def add_no_follow_links(parser: argparse.ArgumentParser) -> None:
    """Of verbs that take a folder for what it holds."""
    parser.add_argument(
        "--no-follow-links",
        action="store_true",
        help="reject links that lead out of the folders of the run's inputs",
    )


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows a default only where there is one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default else action.help


@dataclasses.dataclass(frozen=True)
class Verb:
    """A Beam verb: what it is called, reads, offers, and how its pipeline is built.

    `options` is the verb's own VerbOptions subclass. Options whose names are in `neutral` do
    not change the output, so a rerun may change them. `positional` names the input that may be
    given without its option name (`scan DIR`). With an option named in `dry` the verb writes
    nothing and needs no output folder, with one in `without_inputs` no inputs either. `added` are
    options that came later to the verb, each with what a plan without it means (see
    `stemlode.plans`). `writes` are its files (see `runs.start`). The plans of those that read audio
    (`decodes`) name the decoders. In the folders of its inputs in `named` lie the files that they
    name (see `runs.rules`).
    """

    name: str
    summary: str
    inputs: tuple[str, ...]
    build: Callable[[beam.Pipeline, PipelineOptions, Run], None]
    options: type[PipelineOptions]
    optional_inputs: tuple[str, ...] = ()
    neutral: tuple[str, ...] = ()
    positional: str | None = None
    dry: tuple[str, ...] = ()
    without_inputs: tuple[str, ...] = ()
    added: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    decodes: bool = False
    writes: tuple[str, ...] = ()
    named: tuple[str, ...] = ()

    def own(self, options: PipelineOptions) -> dict[str, Any]:
        """The verb's own options that decide the output, by name."""
        values = vars(self._parser().parse_args([]))
        shared = {*INPUTS, "output", "overwrite", *self.neutral}
        view = options.view_as(self.options)
        return {name: getattr(view, name) for name in sorted(values) if name not in shared}

    def given(self, options: PipelineOptions) -> dict[str, str]:
        """The inputs that were given, by name, local ones as absolute paths."""
        shared = options.view_as(SharedOptions)
        paths = {name: getattr(shared, name) for name in (*self.inputs, *self.optional_inputs)}
        return {name: files.absolute(path) for name, path in paths.items() if path}

    def parse(self, argv: Sequence[str]) -> PipelineOptions:
        """Options from a command line; BadUsage names what is missing or unknown."""
        argv = list(argv)
        if self.positional and argv and not argv[0].startswith("-"):
            argv[0] = f"--{self.positional}={argv[0]}"
        known, rest = self._parser().parse_known_args(argv)
        _, unknown = _beam_parser(f"stemlode {self.name}").parse_known_args(rest)
        if unknown:
            raise BadUsage(self._unknown(unknown[0]))
        is_dry = any(getattr(known, name) for name in self.dry)
        needs_none = any(getattr(known, name) for name in self.without_inputs)
        inputs = () if needs_none else self.inputs
        for name in inputs if is_dry else (*inputs, "output"):
            if not getattr(known, name):
                raise BadUsage(f"stemlode {self.name} needs --{name} (see --help)")
        if not any(word.split("=")[0] == "--runner" for word in argv):
            argv.append(f"--runner={LOCAL_RUNNER}")
        options = PipelineOptions(argv)
        if known.output and not known.overwrite:
            self._go_on_as_begun(options, known.output, argv)
        _check_workers_get_our_code(options)
        _check_project(options)
        return options

    def _go_on_as_begun(self, options: PipelineOptions, output: str, argv: Sequence[str]) -> None:
        """Options that a run was begun without, and that nobody names now, stay as they were."""
        parser = self._parser()
        for action in parser._actions:
            action.default = argparse.SUPPRESS
        named = vars(parser.parse_known_args(argv)[0])
        view = options.view_as(self.options)
        for name, value in plans.as_begun(self.name, files.absolute(output), self.added).items():
            if name not in named and name in self.own(options):
                setattr(view, name, value)

    def beam_flags(self, argv: Sequence[str]) -> list[str]:
        """Those of a command line's options that are Beam's own."""
        _, rest = self._parser().parse_known_args(argv)
        return [word.split("=")[0] for word in rest if word.startswith("--")]

    def _parser(self) -> argparse.ArgumentParser:
        parser = Parser(
            prog=f"stemlode {self.name}",
            description=self.summary,
            epilog="Options of Apache Beam are passed on, for instance --runner DataflowRunner "
            "--project P --region R, or --direct_num_workers 2 --direct_running_mode "
            "multi_processing.",
            formatter_class=_Help,
            usage=f"stemlode {self.name} "
            + (f"{self.positional.upper()} " if self.positional else "")
            + "".join(f"--{name} PATH " for name in self.inputs if name != self.positional)
            + "".join(f"[--{name} PATH] " for name in self.optional_inputs)
            + "--output FOLDER [options] [Beam options]",
        )
        shared = argparse.ArgumentParser(add_help=False)
        SharedOptions._add_argparse_args(shared)
        wanted = {*self.inputs, *self.optional_inputs, "output", "overwrite"}
        for action in shared._actions:
            if action.dest in wanted:
                parser._add_action(action)
        self.options._add_argparse_args(parser)  # type: ignore[arg-type]
        return parser

    def _unknown(self, word: str) -> str:
        flag = word.split("=", maxsplit=1)[0]
        flags = [*self._parser()._option_string_actions, *_beam_parser("")._option_string_actions]
        near = difflib.get_close_matches(flag, flags, 1)
        hint = f"; did you mean {near[0]}?" if near else " (see --help)"
        return f"stemlode {self.name}: neither Stemlode nor Beam knows {word}{hint}"


def _beam_parser(prog: str) -> argparse.ArgumentParser:
    """Every option that Beam itself defines."""
    parser = Parser(prog=prog, add_help=False, conflict_handler="resolve")
    for options in PipelineOptions.__subclasses__():
        if options.__module__.startswith("apache_beam."):
            options._add_argparse_args(parser)  # type: ignore[arg-type]
    return parser


def is_local(options: PipelineOptions) -> bool:
    """Whether the pipeline runs on this machine."""
    return _runner(options) in LOCAL_RUNNERS


def _runner(options: PipelineOptions) -> str:
    """The runner's name in small letters, without its module."""
    return str(options.view_as(StandardOptions).runner).rsplit(".", maxsplit=1)[-1].lower()


def _check_workers_get_our_code(options: PipelineOptions) -> None:
    """Remote workers import our code: from our wheel, or from an image that has it. Workers of
    LOOPBACK run in this process, which has it."""
    setup, portable = options.view_as(SetupOptions), options.view_as(PortableOptions)
    given = (
        setup.extra_packages,
        setup.setup_file,
        options.view_as(WorkerOptions).sdk_container_image,
        portable.environment_config,
        str(portable.environment_type).upper() == "LOOPBACK",
    )
    if is_local(options):
        return
    if _runner(options) == "daskrunner":
        raise BadUsage(
            "--runner DaskRunner: Beam 2.77's gives the outputs of a step that has several all to "
            "each of them, so rejects would be taken for results; take a local or portable runner"
        )
    try:
        create_runner(options.view_as(StandardOptions).runner)
    except (ValueError, ImportError, AttributeError) as error:
        raise BadUsage(f"--runner: {error}") from error
    if not any(given):
        raise BadUsage(
            "remote workers need our code: attach the wheel with --extra_package, "
            "or name an image that has it with --sdk_container_image"
        )


def _check_project(options: PipelineOptions) -> None:
    """A project's id is checked before anything is written; BigQuery needs one as Dataflow does."""
    project = options.view_as(GoogleCloudOptions).project
    if project is not None and not PROJECT.fullmatch(project):
        raise BadUsage(
            f"--project {project}: not a project id: it begins with a small letter and holds "
            "small letters, digits, '-', '.' and ':'; its number or display name will not do"
        )


def check_service(options: PipelineOptions) -> None:
    """What Dataflow would refuse, after minutes of its own attempts, before the work begins.

    Raises BadUsage where an option is missing, Failed without credentials.
    """
    if not is_dataflow(options):
        return
    view = options.view_as(GoogleCloudOptions)
    for name in ("project", "region"):
        if not getattr(view, name):
            raise BadUsage(f"--runner DataflowRunner needs --{name}")
    if not (view.temp_location or view.staging_location):
        raise BadUsage("--runner DataflowRunner needs --temp_location gs://BUCKET/FOLDER")
    try:
        google.auth.default()
    except google.auth.exceptions.GoogleAuthError as error:
        raise Failed(
            "--runner DataflowRunner: no Google credentials here; run `gcloud auth "
            "application-default login`, or name a key's file in GOOGLE_APPLICATION_CREDENTIALS"
        ) from error


def is_dataflow(options: PipelineOptions) -> bool:
    """Whether the pipeline runs on Google's service (no emulator of it)."""
    endpoint = options.view_as(GoogleCloudOptions).dataflow_endpoint
    return _runner(options) == "dataflowrunner" and "//localhost" not in str(endpoint)
