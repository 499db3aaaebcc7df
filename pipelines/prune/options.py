"""The options of `stemlode prune`, checked: how recordings are compared and what is kept."""

import argparse
import math
from collections.abc import Mapping, Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from matching.sound import alignment, decisions, difference, silence
from matching.sound.decisions import Thresholds
from matching.sound.scores import Settings
from pipelines import estimates, unreachable
from pipelines.options import VerbOptions, add_addresses
from pipelines.prune import rescore, scoring, thresholds
from stemlode import files
from stemlode.runs import BadUsage

FURTHER = {  # thresholds beside d_min and d_max
    "sparse_asymmetry": "by how much the mixture must hold more where the difference is below "
    "--d-min",
    "min_spread": "by how much what one holds more of must come and go, from 0 to 2; else it is an "
    "encoder's",
    "min_asymmetry": "by how much the mixture must hold more, from -1 to 1",
    "min_confidence": "an alignment less sure than this, from 0 to 1, is misaligned",
    "max_drift_ppm": "parts per million by which an instrumental may run faster or slower",
    "min_share": "share of the mixture's sound that must match",
    "min_part": "share of the mixture's sound that matches where a part does",
    "min_bass": "correlation of the bass below which an a cappella is suspected",
    "max_rest": "share of the mixture's sound during which the instrumental may be silent",
}
# Options that came later, with what a plan without them means.
ADDED: dict[str, Any] = {
    "sum_thresholds": False,
    "d_sparse": 1.0,
    "sparse_asymmetry": 0.5,
    "min_spread": 0.0,
    "repair": False,
}


class PruneOptions(VerbOptions):
    """How recordings are compared, and which pairs are kept."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--d-min",
            type=float,
            help="pairs whose normalised difference is below this are too similar "
            f"(default: {decisions.D_MIN})",
        )
        add(
            "--d-max",
            type=float,
            help="pairs whose normalised difference is not below this are too different "
            f"(default: {decisions.D_MAX})",
        )
        add(
            "--d-sparse",
            type=float,
            help="pairs below --d-min are kept down to this where what differs is a voice by "
            "--sparse-asymmetry and --min-spread "
            f"(default: {decisions.D_SPARSE}; where --d-min is given: none)",
        )
        for name, sentence in FURTHER.items():
            default = getattr(Thresholds, name)
            add(flag_of(name), type=float, default=default, help=sentence)
        add(
            "--thresholds",
            metavar="FILE",
            help="take --d-min and --d-max from a file that `stemlode review` wrote",
        )
        add(
            "--rescore",
            metavar="FOLDER",
            help="instead of --candidates: judge the pairs of an earlier run of prune again, by "
            "what it measured; no audio is read",
        )
        add(
            "--estimate",
            action="store_true",
            help="write nothing; listen to a few pairs and print what all of them would cost",
        )
        estimates.add_prices(parser)
        add(
            "--trim-db",
            type=float,
            default=silence.TRIM_DB,
            help="sound this far below the loudest is silence, and is trimmed at both ends",
        )
        add(
            "--sample-rate",
            type=int,
            default=difference.SAMPLE_RATE,
            help="rate in Hz at which recordings are compared, in mono",
        )
        add("--n-fft", type=int, default=difference.N_FFT, help="samples of an STFT window")
        add(
            "--hop-length",
            type=int,
            default=difference.HOP_LENGTH,
            help="samples from one STFT window to the next",
        )
        add(
            "--align",
            action=argparse.BooleanOptionalAction,
            default=True,
            help="find offset, speed, polarity and level first. --no-align is as in the thesis: "
            "compare from where the sound begins, at the level it has, and decide by --d-min and "
            "--d-max alone",
        )
        add(
            "--repair",
            action=argparse.BooleanOptionalAction,
            default=True,
            help="mend pairs that run at another speed, that drift, whose level changes, or of "
            "which only parts match, and judge them again. --no-repair judges all as they are",
        )
        add(
            "--sum-thresholds",
            action="store_true",
            help="with --no-align: --d-min and --d-max, which must be given, are of the plain sum "
            "of differences (thesis eq. 3.8), which grows with length and level",
        )
        add(
            "--max-offset",
            type=float,
            default=alignment.MAX_OFFSET_S,
            help="seconds by which an instrumental may be shifted",
        )
        unreachable.add_arguments(parser)
        add_addresses(parser)
        add(
            "--pairs-per-part",
            type=int,
            default=scoring.PAIRS_PER_PART,
            help="pairs scored between two saves; larger groups are split",
        )


def settings_of(options: PipelineOptions) -> tuple[Settings, Thresholds]:
    """Raises BadUsage for an option that makes no sense."""
    view = options.view_as(PruneOptions)
    if not 0 <= view.d_min <= view.d_max < math.inf:
        raise BadUsage(f"--d-min {view.d_min:g}, --d-max {view.d_max:g}: need 0 ≤ d-min ≤ d-max")
    if not 0 <= view.d_sparse < math.inf:
        raise BadUsage(f"--d-sparse {view.d_sparse:g}: a number, 0 or more")
    if not 0 < view.trim_db < math.inf:
        raise BadUsage(f"--trim-db {view.trim_db:g}: a number of dB above 0")
    if not 1000 <= view.sample_rate <= 192_000:
        raise BadUsage(f"--sample-rate {view.sample_rate}: between 1000 and 192000 Hz")
    if not 16 <= view.n_fft <= 65_536:
        raise BadUsage(f"--n-fft {view.n_fft}: between 16 and 65536 samples")
    if not 1 <= view.hop_length <= view.n_fft:
        raise BadUsage(f"--hop-length {view.hop_length}: between 1 and --n-fft {view.n_fft}")
    if not 0 <= view.max_offset < math.inf:
        raise BadUsage(f"--max-offset {view.max_offset:g}: a number of seconds, 0 or more")
    if view.pairs_per_part < 1:
        raise BadUsage(f"--pairs-per-part {view.pairs_per_part}: at least 1")
    settings = Settings(
        view.sample_rate,
        view.n_fft,
        view.hop_length,
        view.trim_db,
        view.max_offset,
        view.align,
        view.repair,
    )
    further = {name: getattr(view, name) for name in FURTHER}
    for name, value in further.items():
        if not math.isfinite(value):
            raise BadUsage(f"{flag_of(name)} {value:g}: a finite number")
    if view.sum_thresholds and view.align:
        raise BadUsage("--sum-thresholds needs --no-align: an alignment decides by other measures")
    window = (view.d_min, view.d_max, view.d_sparse)
    further["repair"], further["on_sum"] = view.repair, view.sum_thresholds
    return settings, Thresholds(*window, **further)


def settle(options: PipelineOptions, argv: Sequence[str], given: Mapping[str, str]) -> None:
    """Fill in what other options and files say; BadUsage where they contradict each other."""
    view = options.view_as(PruneOptions)
    if bool(view.rescore) == ("candidates" in given):
        if view.rescore:
            raise BadUsage("--rescore takes the place of --candidates: give one of them")
        raise BadUsage("stemlode prune needs --candidates or --rescore (see --help)")
    if view.thresholds is not None:
        if view.d_min is not None or view.d_max is not None:
            raise BadUsage("--thresholds holds what --d-min and --d-max say: give one or the other")
        window = thresholds.read(view.thresholds)
        view.d_min, view.d_max = window.d_min, window.d_max
    if view.sum_thresholds and None in (view.d_min, view.d_max):
        raise BadUsage("--sum-thresholds: say of which sums by --d-min and --d-max")
    if view.d_sparse is None:
        view.d_sparse = decisions.D_SPARSE if view.d_min is None else view.d_min
    view.d_min = decisions.D_MIN if view.d_min is None else view.d_min
    view.d_max = decisions.D_MAX if view.d_max is None else view.d_max
    if view.rescore:
        words = [word.split("=", maxsplit=1)[0] for word in argv]
        flags = [flag_of(name) for name in ("estimate", *rescore.MEASURED)]
        for flag in (*flags, "--no-align"):
            if flag in words:
                raise BadUsage(f"{flag} needs the audio, which --rescore does not read")
        view.rescore = files.absolute(view.rescore)
        for option, value in rescore.options_of(view.rescore, ADDED).items():
            setattr(view, option, value)
    settings_of(options)


def flag_of(name: str) -> str:
    """An option as it is written on a command line."""
    return f"--{name.replace('_', '-')}"
