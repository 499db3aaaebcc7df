"""Which time of an instrumental belongs to which time of its mixture."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.interpolate import CubicSpline

EVEN_PPM = 1e-4  # a slope that differs by less from 1 is 1
STEEPEST = 0.02  # by which a curve's slope may differ from 1: no repair goes as far


@dataclass(frozen=True)
class Part:
    """A stretch of a mixture and where the instrumental lies in it: mixture time → its time, in s.

    Through two knots runs a line, through three a parabola, through more a cubic spline (whose
    third derivative does not jump at the second knot and the last but one); beyond the outer ones
    it goes straight on.
    """

    times: tuple[float, ...]  # knots, ascending: of the mixture
    others: tuple[float, ...]  # and of the instrumental

    @property
    def begin_s(self) -> float:
        """Where it begins in the mixture."""
        return self.times[0]

    @property
    def end_s(self) -> float:
        """Where it ends there."""
        return self.times[-1]

    def at(self, times: np.ndarray) -> np.ndarray:
        """The instrumental's times at some of the mixture's, float64."""
        inside = np.clip(times, self.begin_s, self.end_s)
        return (
            self._curve(inside)
            + self._ends[0] * np.minimum(times - self.begin_s, 0.0)
            + (self._ends[1] * np.maximum(times - self.end_s, 0.0))
        )

    def moved(self, seconds: float) -> "Part":
        """The same with an instrumental that lies later by so much."""
        return Part(self.times, tuple(other + seconds for other in self.others))

    def between(self, begin_s: float, end_s: float) -> "Part":
        """The same from and to other times of the mixture, between or beyond its own."""
        inner = [t for t in self.times[1:-1] if begin_s < t < end_s]
        times = np.array([begin_s, *inner, end_s])
        return Part(tuple(map(float, times)), tuple(map(float, self.at(times))))

    @property
    def drift_ppm(self) -> float:
        """How much faster the instrumental runs on the whole, in millionths."""
        slope = (self.others[-1] - self.others[0]) / (self.end_s - self.begin_s)
        found = (1 / slope - 1) * 1e6 if slope > 0 else math.inf
        return 0.0 if abs(found) < EVEN_PPM else found

    @property
    def is_even(self) -> bool:
        """Whether the two run at one speed."""
        return len(self.times) == 2 and self.drift_ppm == 0

    @property
    def pieces(self) -> list[list[float]]:
        """As it is written in a table: start and end in the mixture, start and end in the
        instrumental."""
        knots = zip(self.times, self.others, strict=True)
        return [[a, b, c, d] for (a, c), (b, d) in pairwise(knots)]

    @cached_property
    def _curve(self) -> CubicSpline:
        return CubicSpline(self.times, self.others)

    @cached_property
    def _ends(self) -> tuple[float, float]:
        first, last = self._curve((self.begin_s, self.end_s), 1)
        return float(first), float(last)


def parts_of(pieces: Iterable[Sequence[float]]) -> list[Part]:
    """The parts that were written as `Part.pieces`, one after another.

    ValueError for what is no clock: pieces that overlap in the mixture, that run backwards, or at a
    speed that no repair gives.
    """
    knots: list[list[tuple[float, float]]] = []
    for piece in pieces:
        if len(piece) != 4 or not all(map(math.isfinite, piece)):
            raise ValueError("a piece is four finite numbers")
        begin, end, first, last = piece
        if not end > begin or abs((last - first) / (end - begin) - 1) > STEEPEST:
            raise ValueError(f"{begin:g}–{end:g} s at {first:g}–{last:g} s is no piece")
        if knots and knots[-1][-1] == (begin, first):
            knots[-1].append((end, last))
        elif knots and begin < knots[-1][-1][0]:
            raise ValueError(f"{begin:g} s comes twice")
        else:
            knots.append([(begin, first), (end, last)])
    return [Part(*map(tuple, zip(*part, strict=True))) for part in knots]
