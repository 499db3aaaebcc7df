"""Stretches of a mixture that match an instrumental, each at an offset of its own.

Another intro, a verse that was cut, a radio edit: what lies before and behind is the same
recording, but no one offset holds for both.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from matching.sound import alignment, coherence, spans
from matching.sound.coherence import Aligned
from matching.sound.repairs import timing
from matching.sound.repairs.clock import Part
from matching.sound.repairs.timing import WINDOW_S, Heard
from matching.sound.scores import Settings
from matching.sound.signals import SignalSlice

SHORTEST_S = 12.0
LEAST_SURE = 0.2  # of the alignment of a stretch
_MOST_SEARCHES = 8
_ON_IT_S = 5e-4  # a window this near a part's line belongs to it
_LEAST_ON_IT = 0.5  # of its windows
SMALLEST_SHIFT_S = 4e-6  # a slope that adds up to less, from the middle to an end, is none
Span = Sequence[float]


def find(heard: Heard, line: Part, matched: Iterable[Span], settings: Settings) -> list[Part]:
    """The parts of a mixture, in its order, none shorter than SHORTEST_S.

    Args:
        line: along which the two were compared, over what they share.
        matched: where they match along it, start and end in s.
    """
    found = _along(heard, line, matched)
    left = _longest(_between(heard.extent_s, matched))
    for _ in range(_MOST_SEARCHES):
        if not left:
            break
        stretch = left.pop(0)
        other = _search(heard, stretch, [line, *found], settings)
        if other is None:
            continue
        if not other[1]:  # of several parts, none of which outdoes the rest
            middle = sum(stretch) / 2
            left = _longest([*left, (stretch[0], middle), (middle, stretch[1])])
            continue
        found += _along(heard, *other)
        left = _longest([*left, *_between(stretch, other[1])])
    return sorted(found, key=lambda part: part.begin_s)


def _between(extent: Span, matched: Iterable[Span]) -> list[Span]:
    """What of a stretch lies between spans."""
    edges = [extent[0], *(edge for span in matched for edge in span), extent[1]]
    return [*zip(edges[::2], edges[1::2], strict=True)]


def _longest(stretches: Iterable[Span]) -> list[Span]:
    """Those that are long enough, the longest first."""
    found = [span for span in stretches if span[1] - span[0] >= SHORTEST_S]
    return sorted(found, key=lambda span: span[0] - span[1])


def _search(
    heard: Heard, stretch: Span, known: Iterable[Part], settings: Settings
) -> tuple[Part, Sequence[Span]] | None:
    """The line along which a stretch matches at another offset, and where: nowhere, if other lines
    are as good. None if nothing matches.

    It is sought as far from the offsets that are known as any is, by the settings.
    """
    rate = heard.rate
    begin, end = (round(edge * rate) - heard.x_start for edge in stretch)
    begin, end = max(0, begin), min(len(heard.x), end)
    offsets = [part.others[k] - part.times[k] for part in known for k in (0, -1)]
    first = begin + heard.x_start + round((min(offsets) - settings.max_offset_s) * rate)
    last = end + heard.x_start + round((max(offsets) + settings.max_offset_s) * rate)
    first, last = max(0, first - heard.y_start), min(len(heard.y), last - heard.y_start)
    if end - begin < SHORTEST_S * rate or last - first < SHORTEST_S * rate:
        return None
    x, y = SignalSlice(heard.x, begin, end), SignalSlice(heard.y, first, last)
    reach_s = (len(x) + len(y)) / rate
    lies = alignment.align(x, y, rate, reach_s)
    line = lies.line(rate)
    start_s = (begin + heard.x_start) / rate
    frames = np.array([0.0, len(x)])
    others = (frames + line.at(frames) + first + heard.y_start) / rate
    part = Part((start_s, start_s + len(x) / rate), (float(others[0]), float(others[1])))
    if lies.confidence < LEAST_SURE:
        return (part, []) if lies.stands else None
    held = Aligned(x, y, line, lies.polarity, rate, settings.n_fft, settings.hop_length)
    parts = coherence.segments(held)
    matched = spans.matches(parts.agreement, parts.xx.sum(axis=1), parts.yy.sum(axis=1))
    edges_s = (parts.frames * settings.hop_length).clip(0, len(x)) / rate + start_s
    return part, [*spans.spans(matched, edges_s)]


def _along(heard: Heard, line: Part, matched: Iterable[Span]) -> list[Part]:
    """The parts of which spans along a line are surely made."""
    long = [span for span in matched if span[1] - span[0] >= SHORTEST_S]
    found = (_tidied(heard, heard.shared(line.between(*span))) for span in long)
    return [part for part in found if part is not None]


def _tidied(heard: Heard, part: Part) -> Part | None:
    """A part without windows at its ends that do not belong to it, at the offset and the speed of
    those that do; None for what is then too short."""
    begin_s, end_s = heard.extent_s
    at_0, slope, _ = timing.line(found := timing.delays(heard, part))
    off = np.abs(found.seconds - at_0 - slope * found.times)
    on_it = np.flatnonzero((found.sure > 0) & (off <= _ON_IT_S))
    if len(on_it) < max(3, _LEAST_ON_IT * len(found.times)):
        return None
    half_s = (part.end_s - part.begin_s) / 2
    if abs(slope) * half_s < SMALLEST_SHIFT_S:
        at_0, slope = float(np.median(found.seconds[on_it])), 0.0
        part = part.moved(at_0)
    else:
        part = timing.straight(part, at_0, slope)
    first, last = float(found.times[on_it[0]]), float(found.times[on_it[-1]])
    # A window may reach over an edge by half without a loss, unless there is nothing behind it.
    inner = (part.begin_s > begin_s + WINDOW_S, part.end_s < end_s - WINDOW_S)
    begin_s = max(part.begin_s, first - WINDOW_S / 2 + inner[0] * WINDOW_S)
    end_s = min(part.end_s, last + WINDOW_S / 2 - inner[1] * WINDOW_S)
    if end_s - begin_s < SHORTEST_S:
        return None
    return part.between(begin_s, end_s)
