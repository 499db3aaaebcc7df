"""Which spans of a mixture an instrumental matches."""

from itertools import pairwise

import numpy as np

AGREES = 0.15  # mean cosine between phases; unrelated music gives 0.00 ± 0.03
_UNDER_A_VOICE = 0.06  # the least where a loud voice lies over what matches
_BRIDGE = 2  # segments that such a voice may last
_SILENT = 1e-6  # of the loudest segment's power: −60 dB, nothing to match


def matches(agreement: np.ndarray, x_power: np.ndarray, y_power: np.ndarray) -> np.ndarray:
    """Which segments match, bool [segments], of their agreement and powers.

    Segments where either is silent count as what lies on both sides of them, or on the one side
    that there is; so does a gap of one or two between matches that agree a little: a loud voice.
    """
    silent = (
        np.minimum(
            x_power / max(x_power.max(initial=0.0), 1e-30),
            y_power / max(y_power.max(initial=0.0), 1e-30),
        )
        < _SILENT
    )
    found = (agreement >= AGREES) & ~silent
    sure = np.flatnonzero(found)
    for left, right in pairwise(sure):
        gap = slice(left + 1, right)
        voice = right - left - 1 <= _BRIDGE and (agreement[gap] >= _UNDER_A_VOICE) | silent[gap]
        if np.all(voice) or silent[gap].all():
            found[gap] = True
    if len(sure):
        if silent[: sure[0]].all():
            found[: sure[0]] = True
        if silent[sure[-1] :][1:].all():
            found[sure[-1] :] = True
    return found


def spans(matched: np.ndarray, edges_s: np.ndarray) -> list[list[float]]:
    """Runs of matching segments as [start, end] in seconds; segment i lies at edges i to i + 1."""
    padded = np.concatenate([[0], matched.astype(int), [0]])
    change = np.diff(padded)
    starts, ends = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
    return [
        [float(edges_s[start]), float(edges_s[end])]
        for start, end in zip(starts, ends, strict=True)
    ]
