"""The time of an instrumental that drifts against its mixture's, followed from window to window.

Where speed wavers by more than some millionths, no line holds for a song; but what the last
windows did foretells the next to a fraction of a millisecond, and there its delay is found.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from matching.sound.drift import Line
from matching.sound.repairs import timing
from matching.sound.repairs.clock import Part
from matching.sound.repairs.timing import WINDOW_S, Heard

LEAST_SURE = 0.25  # of a window that is followed
MOST_LOST = 4  # windows in a row that a voice or a rest may hide
_REMEMBERED = 3  # windows whose line is followed
_SEEDS = 5  # places at which it may begin
_SURE_ENOUGH = 0.5  # of a window, that no other place need be looked at
_SEED_REACH_S = 0.03  # what coarse lines are sure of
_SEED_SLOPES = np.arange(-12, 13) * 5e-4
_MOST_LINES = 2


def follow(heard: Heard, seed: Part) -> Part | None:
    """What can be followed from a seed on, both ways; None where it is less than three windows.

    `seed` is a line that holds to a millisecond or so about the middle of its extent.
    """
    middle = (seed.begin_s + seed.end_s) / 2
    begin_s, end_s = heard.extent_s
    later = list(_one_way(heard, seed, middle, end_s))
    earlier = list(_one_way(heard, seed, middle, begin_s))
    knots = [*reversed(earlier), *later]
    if len(knots) < 3:
        return None
    times, others = zip(*knots, strict=True)
    return Part(times, others)


def _one_way(
    heard: Heard, seed: Part, begin_s: float, end_s: float
) -> Iterator[tuple[float, float]]:
    """Knots (mixture time, instrumental's) in the middles of windows, from a time on to another,
    later or earlier."""
    step = math.copysign(WINDOW_S, end_s - begin_s)
    known: list[tuple[float, float]] = []
    lost = 0
    count = math.floor(abs(end_s - begin_s) / WINDOW_S)
    for number in range(count):
        time = begin_s + step * (number + 0.5)
        along = _foretold(seed, known, time)
        late = delay(heard, along)
        if late is None:
            lost += 1
            if lost > MOST_LOST:
                return
            continue
        lost = 0
        known.append((time, float(along.at(np.array([time]))[0]) + late))
        yield known[-1]


def delay(heard: Heard, window: Part) -> float | None:
    """By how many seconds the instrumental lies later than a line in a window; None if unsure."""
    found = timing.delays(heard, window)
    if not len(found.sure) or found.sure[0] < LEAST_SURE:
        return None
    return float(found.seconds[0])


def _foretold(seed: Part, known: Sequence[tuple[float, float]], time: float) -> Part:
    """The line by which a window about a time begins to be looked at."""
    half = WINDOW_S / 2 + 0.001
    ends = np.array([time - half, time + half])
    if len(known) < 2:
        moved = seed
        if known:
            at, other = known[0]
            moved = seed.moved(other - float(seed.at(np.array([at]))[0]))
        return Part(tuple(map(float, ends)), tuple(map(float, moved.at(ends))))
    times, others = np.array(known[-_REMEMBERED:]).T
    slope, _ = np.polyfit(times - times[-1], others - others[-1], 1)
    return Part(tuple(map(float, ends)), tuple(map(float, others[-1] + slope * (ends - times[-1]))))


def seed(heard: Heard, lines: Sequence[Line]) -> Part | None:
    """A window in which the two are surely together, along coarse lines, in seconds of the two
    files: the first that is sure enough, or the surest; None where none is sure."""
    begin_s, end_s = heard.extent_s
    middles = begin_s + (end_s - begin_s) * (np.arange(_SEEDS) + 0.5) / _SEEDS
    surest, best = LEAST_SURE, None
    for line in lines[:_MOST_LINES]:
        for middle in middles[np.argsort(np.abs(middles - middles.mean()), kind="stable")]:
            ends = np.array([middle - WINDOW_S / 2 - 0.001, middle + WINDOW_S / 2 + 0.001])
            for slope in _SEED_SLOPES:
                others = middle + float(line.at(middle)) + (ends - middle) * (1 + slope)
                window = Part(tuple(map(float, ends)), tuple(map(float, others)))
                told = timing.delays(heard, window, reach_s=_SEED_REACH_S)
                if len(told.sure) and told.sure[0] >= surest:
                    surest, best = float(told.sure[0]), window.moved(float(told.seconds[0]))
            if surest >= _SURE_ENOUGH:
                return best
    return best
