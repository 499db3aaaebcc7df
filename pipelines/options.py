"""The command line of the Beam verbs: options, help, and what unknown options mean.

Options are `PipelineOptions` subclasses, so that a template's launcher can use them unchanged.
"""

import argparse
import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.remote import runners
from stemlode import files, plans
from stemlode.arguments import Parser
from stemlode.runs import BadUsage, Run

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
        parser.add_argument(
            "--shared-path",
            action="append",
            metavar="ROOT",
            help="local folder that every worker of a remote runner sees as this machine does; "
            "each worker tests that before it begins; may be given again",
        )
        add_shown(parser)


SHOWN = ("quiet", "verbose", "log")  # options that say what a run shows; they decide nothing


def add_shown(parser: argparse.ArgumentParser) -> None:
    """Those options."""
    parser.add_argument(
        "--quiet", action="store_true", help="show no progress and no summary, only what fails"
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="a line for each thing done, and each reject"
    )
    parser.add_argument(
        "--log",
        choices=("text", "json"),
        default="text",
        help="lines of the log (standard error): for people, or a JSON object each",
    )


class VerbOptions(PipelineOptions):
    """Base of a verb's own options.

    Beam parses the direct subclasses of PipelineOptions all together, whichever verb runs. It does
    not see these, so two verbs of one process may each have a `--sample-rate` of its own kind.
    """

    def display_data(self) -> dict[str, Any]:
        """What a service shows of the options; it takes none without a value."""
        return {name: value for name, value in super().display_data().items() if value is not None}


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


def add_accelerator(parser: argparse.ArgumentParser) -> None:
    """Of verbs whose workers run a net."""
    parser.add_argument(
        "--accelerator",
        metavar="HINT",
        help="Beam's resource hint for the workers that run a net, such as "
        "'type:nvidia-l4;count:1;install-nvidia-driver'; the other steps' workers need no GPU",
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
    `stemlode.plans`), `formerly` the defaults that options had at first. `writes` are its files
    (see `runs.start`). The plans of those that read audio (`decodes`) name the decoders. In the
    folders of its inputs in `named` lie the files that they name (see `runs.rules`). `imports` are
    the packages that its workers need beside the base, each with the option that it serves, or "".
    `opens` yields what workers open beside inputs and output (see `runners.Named`); of
    `inputs_here`, inputs that are read before workers begin, nothing.
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
    formerly: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    decodes: bool = False
    writes: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    imports: Mapping[str, str] = dataclasses.field(default_factory=dict)
    opens: Callable[[PipelineOptions], Iterable[runners.Named]] | None = None
    inputs_here: tuple[str, ...] = ()

    def own(self, options: PipelineOptions) -> dict[str, Any]:
        """The verb's own options that decide the output, by name."""
        values = vars(self._parser().parse_args([]))
        shared = {*INPUTS, "output", "overwrite", "shared_path", *SHOWN, *self.neutral}
        view = options.view_as(self.options)
        return {name: getattr(view, name) for name in sorted(values) if name not in shared}

    def given(self, options: PipelineOptions) -> dict[str, str]:
        """The inputs that were given, by name, local ones as absolute paths."""
        shared = options.view_as(SharedOptions)
        paths = {name: getattr(shared, name) for name in (*self.inputs, *self.optional_inputs)}
        return {name: files.absolute(path) for name, path in paths.items() if path}

    def parse(self, argv: Sequence[str]) -> PipelineOptions:
        """Options from a command line; BadUsage names what is missing or unknown."""
        argv = self._parser().spelt(argv)
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
            argv.append(f"--runner={runners.LOCAL_RUNNER}")
        options = VerbOptions(argv)
        runners.check(options)  # before any store is asked
        if known.output and not known.overwrite:
            self._go_on_as_begun(options, known.output, argv)
        return options

    def _go_on_as_begun(self, options: PipelineOptions, output: str, argv: Sequence[str]) -> None:
        """Options that a run was begun without, or whose defaults were others then, and that nobody
        names now, stay as they were."""
        parser = self._parser()
        for action in parser._actions:
            action.default = argparse.SUPPRESS
        named = vars(parser.parse_known_args(argv)[0])
        view = options.view_as(self.options)
        begun = plans.as_begun(self.name, files.absolute(output), self.added, self.formerly)
        for name, value in begun.items():
            if name not in named and name in self.own(options):
                setattr(view, name, value)

    def beam_flags(self, argv: Sequence[str]) -> list[str]:
        """Those of a command line's options that are Beam's own."""
        _, rest = self._parser().parse_known_args(argv)
        return [word.split("=")[0] for word in rest if word.startswith("--")]

    def parser(self, argv: Sequence[str] = ()) -> Parser:
        """Everything that the verb can be told, Beam's options included."""
        parser = self._parser()
        known = parser._option_string_actions
        beams = _beam_parser("")._actions
        parser.passed_on = [a for a in beams if not {*a.option_strings} & {*known}]
        for action in parser.passed_on:
            parser._add_action(action)
        return parser

    def _parser(self) -> Parser:
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
        parser.leading = self.positional
        shared = argparse.ArgumentParser(add_help=False)
        SharedOptions._add_argparse_args(shared)
        wanted = {*self.inputs, *self.optional_inputs}
        wanted |= {"output", "overwrite", "shared_path", *SHOWN}
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
