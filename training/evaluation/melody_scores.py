"""OA and RPA by mir_eval (thesis 5.4), at the fixed threshold of voicing and at every other."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stemlode import extras
from stemlode.runs import BadUsage
from stemlode.shards.salience import THRESHOLD
from training.evaluation.annotations import Melody
from training.pitch.targets import F0

THRESHOLDS = np.round(np.arange(0.02, 1.0, 0.02), 2)  # THRESHOLD is one of them


@dataclass(frozen=True)
class Accuracy:
    """Of one song. RPA does not depend on the threshold: what is unvoiced keeps its pitch."""

    rpa: float
    oa: list[float]  # by threshold, in the order of THRESHOLDS


def accuracy(truth: Melody, found: F0) -> Accuracy:
    """A song's scores. Frames of the truth decide; the estimate is brought to their times as
    mir_eval does it. RPA is NaN where nobody sings."""
    try:
        from mir_eval import melody  # noqa: PLC0415 (of the extra pitch)
    except ImportError as error:
        raise BadUsage(extras.line("mir_eval", [], "--f0")) from error
    pitch = np.abs(found.f0_hz)
    oa, rpa = [], float("nan")
    with warnings.catch_warnings():
        # Of silences that are gaps, which `annotations.filled` has filled, and of thresholds at
        # which nothing is voiced.
        warnings.simplefilter("ignore", UserWarning)
        for threshold in THRESHOLDS:
            signed = np.where((found.confidence >= threshold) & (pitch > 0), pitch, -pitch)
            series = melody.to_cent_voicing(truth.time_s, truth.f0_hz, found.time_s, signed)
            oa.append(float(melody.overall_accuracy(*series)))
            if threshold == THRESHOLD and truth.f0_hz.any():
                rpa = float(melody.raw_pitch_accuracy(*series))
    return Accuracy(rpa, oa)


def at(threshold: float) -> int:
    """Its place in THRESHOLDS."""
    return int(np.argmin(np.abs(THRESHOLDS - threshold)))


def best_threshold(songs: Sequence[Sequence[float]]) -> float:
    """The threshold with the highest mean OA over songs, each a list as in `Accuracy.oa`; of
    several the one nearest to THRESHOLD."""
    means = np.mean(np.array(songs), axis=0)
    best = np.flatnonzero(means >= means.max() - 1e-12)
    return float(min(THRESHOLDS[best], key=lambda value: abs(value - THRESHOLD)))
