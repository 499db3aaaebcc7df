"""The options of `stemlode perturb`, shared with the pipeline that does so at scale."""

import argparse
import math
from collections.abc import Sequence
from typing import Any

from stemlode import files
from stemlode.addresses.pinned import content
from stemlode.arguments import count
from stemlode.runs import BadUsage
from training.amicable import noise, objective
from training.amicable.codecs import KINDS, Codec
from training.amicable.models import apart, pinned
from training.amicable.optimise import NEAR_DB, SEARCH_ITERATIONS, SEARCHES, Settings
from training.amicable.perturb import AUTO, Task
from training.teachers.loading import ENTRY

MOST_ITERATIONS = 100_000


def add(parser: argparse.ArgumentParser) -> None:
    """Everything but the song and the output."""
    parser.add_argument(
        "--model",
        metavar="MODEL",
        action="append",
        help="the separator to help: a checkpoint's folder or another of its names "
        "(docs/models.md), two of them with a comma between that separate a song together (vocals "
        "by one U-Net, accompaniment by the other), a TorchScript file with its JSON, or "
        "module:function; these two are programs and run with your rights. Again for further "
        "models",
    )
    parser.add_argument(
        "--weight",
        metavar="α",
        action="append",
        type=_weight,
        help="of each --model in turn (eq. 5); below 0 the model is to do worse. --weight auto "
        "begins with the first model's loss, --weight=-auto likewise below 0; auto where none is "
        "given",
    )
    parser.add_argument(
        "--domain",
        action="append",
        choices=(objective.WAVEFORM, objective.STFT),
        help="of each --model in turn: in which its error counts, the waveform (the default) or "
        f"magnitudes of an STFT of {objective.N_FFT} samples",
    )
    parser.add_argument(
        "--stpr-weight",
        metavar="λ",
        type=_not_negative,
        default=Settings.stpr_weight,
        help=f"of the short-term power ratio (eq. 4); the paper takes 10, 20, 40, 100 "
        f"({Settings.stpr_weight:g})",
    )
    parser.add_argument(
        "--target-di-sdr",
        metavar="DB",
        help=f"find λ for this DI_SDR, ± {NEAR_DB:g} dB, in at most {SEARCHES} searches of "
        f"{SEARCH_ITERATIONS} iterations: 27.8, or median:27.8, is museval's median of 1 s frames, "
        "as in the paper; whole:27.8 is that of the whole signal",
    )
    parser.add_argument(
        "--iterations", type=_iterations, default=Settings.iterations, metavar="N",
        help=f"of Adam ({Settings.iterations})",
    )  # fmt: skip
    parser.add_argument(
        "--adversarial-cap",
        metavar="C",
        type=_not_negative,
        default=objective.CAP,
        help="a model of a negative weight is driven to an error of C times its stems' energy and "
        f"no further ({objective.CAP:g})",
    )
    parser.add_argument(
        "--pcm", type=int, choices=(16, 24), help="write integers of so many bits, not floats"
    )
    parser.add_argument(
        "--codec",
        metavar="KIND:KBIT",
        action="append",
        help=f"score after this encoding too ({', '.join(KINDS)}), such as mp3:128; again for more",
    )
    parser.add_argument(
        "--codec-noise",
        metavar="KIND:KBIT",
        help="make the perturbation with what this encoding adds in place",
    )
    parser.add_argument("--seed", type=count, default=0, help="of the first perturbation (0)")
    parser.add_argument(
        "--piece-seconds",
        type=_piece,
        default=Settings.piece_seconds,
        metavar="S",
        help="longer songs are computed in pieces of so many seconds, for less memory; the result "
        f"is the same ({Settings.piece_seconds})",
    )
    parser.add_argument(
        "--recompute",
        action="store_true",
        help="keep no activations, for far less memory and a third more time",
    )
    parser.add_argument("--device", help="cpu, cuda or cuda:1; by default a GPU where there is one")


def task_of(options: argparse.Namespace) -> Task:
    """The options of `add`, understood; BadUsage where they do not fit together."""
    models = options.model or []
    if not models:
        raise BadUsage("stemlode perturb needs --model (see --help)")
    for name, values in (("--weight", options.weight), ("--domain", options.domain)):
        if values and len(values) != len(models):
            raise BadUsage(f"{name} is given {len(values)} times for {len(models)} --model")
    weights = tuple(options.weight or ())
    if 0 in weights:
        raise BadUsage("--weight 0: leave the model out")
    measured, wanted = _target(options.target_di_sdr)
    settings = Settings(
        options.iterations,
        options.stpr_weight,
        wanted,
        measured,
        options.seed,
        options.adversarial_cap,
        options.piece_seconds,
        options.recompute,
    )
    if wanted is not None and not settings.stpr_weight:
        raise BadUsage("--stpr-weight 0: --target-di-sdr needs one to begin with")
    return Task(
        settings,
        weights,
        tuple(options.domain or ()),
        options.pcm,
        tuple(Codec.named(text) for text in dict.fromkeys(options.codec or ())),
        Codec.named(options.codec_noise) if options.codec_noise else None,
    )


def decisive(options: argparse.Namespace) -> dict[str, Any]:
    """The options that decide a perturbation, for a run's plan."""
    names = ["model", "weight", "domain", "stpr_weight", "target_di_sdr", "iterations"]
    names += ["adversarial_cap", "pcm", "codec", "codec_noise", "seed"]
    return {name: getattr(options, name) for name in names}


def model_inputs(models: Sequence[str]) -> dict[str, str]:
    """The files and folders among the models, as inputs of a run."""
    found: dict[str, str] = {}
    for name in models:
        for path in [] if ENTRY.fullmatch(name) else apart(pinned(name)):
            number = len(found) + 1
            found["model" if number == 1 else f"model_{number}"] = (
                path if content(path) else files.absolute(path)
            )
    return found


def _target(text: str | None) -> tuple[str, float | None]:
    if text is None:
        return noise.MEDIAN, None
    kind, _, number = text.rpartition(":")
    wanted = _number(number)
    if kind not in ("", noise.MEDIAN, noise.WHOLE) or not 0 < wanted < 120:
        raise BadUsage(f"--target-di-sdr {text}: not 27.8, median:27.8 or whole:27.8 (dB)")
    return kind or noise.MEDIAN, wanted


def _weight(text: str) -> float | str:
    if text in (AUTO, f"-{AUTO}"):
        return text
    value = _number(text)
    if not math.isfinite(value) or abs(value) > 1e9:
        raise argparse.ArgumentTypeError(f"{text} is no weight")
    return value


def _not_negative(text: str) -> float:
    value = _number(text)
    if not 0 <= value < 1e12:
        raise argparse.ArgumentTypeError(f"{text} must be 0 or more, and finite")
    return value


def _number(text: str) -> float:
    """NaN for what is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _iterations(text: str) -> int:
    value = count(text)
    if not 1 <= value <= MOST_ITERATIONS:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to {MOST_ITERATIONS}")
    return value


def _piece(text: str) -> int:
    value = count(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} must be at least 1")
    return value
