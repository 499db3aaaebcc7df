"""The measures of a pair, mended where it is true but not perfect.

What fails at the first look, and shows why, is looked at again on a clock of its own:

* `speed`: the windows' delays lie on a line. The pair must be coherent then.
* `wow`: they lie on a smooth curve, which foretells such windows as were held out. Likewise.
* `parts`: stretches match, each at an offset of its own; what is measured is of these alone.
* `level`: beside these or alone, each few seconds at a gain of their own. The pair must be coherent
  then.

What is not proven so is measured as it is.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from matching.sound import alignment, coarse, coherence, scores
from matching.sound.alignment import Alignment
from matching.sound.drift import Line
from matching.sound.repairs import levels, parts, timing, track, varispeed
from matching.sound.repairs.clock import Part
from matching.sound.repairs.levels import Levelled
from matching.sound.repairs.timing import Heard
from matching.sound.scores import Along, Look, Scores, TrimmedSignal
from matching.sound.signals import Signal, SignalSlice, Stereo

MOST_PPM = 10_500.0  # by which a curve's speed may differ, anywhere
MOST_CHANGE = 1e-3  # of speed in a second
WHOLE = 0.9  # of a mixture that matches
_SIMILAR = 0.8  # a difference of magnitudes that no unrelated recordings reach
_FEW = 24  # windows that tell whether there is anything to mend
_WAVERS_S = 6e-6  # of the delays of segments, which are otherwise told to a microsecond
_EVEN_S = 4e-6  # spread of delays about a line that needs no curve
_NOISY_S = 5e-5  # spread that a codec's noise may give to the delays of one speed
_BETTER = 3.0  # times nearer than a line, a curve
_MOST_MISS_S = 8e-5  # by which a curve misses windows that it has not seen
_FOLLOWED = 0.9  # of a mixture, that is followed
_AGREES_S = 2e-4  # by which an alignment of what was mended may differ from none
_HELD = 1 << 23  # frames of a mended instrumental that are held in memory, else made again


def score(mixture: TrimmedSignal, instrumental: TrimmedSignal) -> Scores:
    """As `scores.score`, mended where the settings let it be and it can be proven."""
    look = scores.look(mixture, instrumental)
    if look.found is None or not mixture.settings.repair:
        return look.scores
    if look.along is not None and not look.found.drifts:
        levelled = _levelled(look.x, look.y, look.found, look.along)
        look = dataclasses.replace(look, scores=levelled or look.scores)
    return _mended(look) or look.scores


def _mended(look: Look) -> Scores | None:
    """Of a pair that was aligned, or not surely; None where nothing can be mended, or need be."""
    first, found = look.scores, look.found
    assert found is not None
    heard = Heard(look.x.samples, look.y.samples, _rate(look), look.x.start, look.y.start)
    share = first.matched_share
    if share is None:
        followed = _followed(look, heard, None) if first.difference < _SIMILAR else None
        if not (followed or found.stands):
            return None
        line = heard.shared(_line(look, found))
    else:
        line = heard.shared(_line(look, found))
        if share >= WHOLE:
            if first.coherent and not _wavers(look):
                return None
            timed = _timed(heard, line, found.drifts)
            return _on_clock(look, *timed) if timed else None
        followed = _followed(look, heard, line)
    if followed:
        return _on_clock(look, followed, "wow")
    several = parts.find(heard, line, first.matched_spans or [], look.x.settings)
    return _in_parts(look, several) if several else None


def _rate(look: Look) -> int:
    return look.x.settings.sample_rate


def _wavers(look: Look) -> bool:
    """Whether what is coherent on the whole wanders about its offset."""
    if look.along is None:
        return False
    aligned = look.along.aligned
    low = aligned.bins(coherence.LOW_HZ, aligned.sample_rate).start
    off = coherence.wavering(look.along.segments, look.along.matched, low)
    return off > _WAVERS_S * aligned.sample_rate


def _line(look: Look, found: Alignment) -> Part:
    """An alignment as a part, over all of the mixture's sound."""
    rate = _rate(look)
    line = found.line(rate)
    frames = np.array([0.0, len(look.x.samples)])
    ends = (frames + look.x.start) / rate
    others = (frames + line.at(frames) + look.y.start) / rate
    return Part((float(ends[0]), float(ends[1])), (float(others[0]), float(others[1])))


def _timed(heard: Heard, line: Part, drifts: bool) -> tuple[Part, str] | None:
    """A clock near a line, and what it mends; None where nothing tells that there is any."""
    delays = timing.delays(heard, line, _FEW)
    at_0, slope, spread = timing.line(delays)
    if not spread < math.inf:
        return None
    straight = timing.straight(line, at_0, slope)
    curved = _curved(heard, straight) if spread > _EVEN_S else None
    if curved is not None and curved[1] * _BETTER < spread:
        return curved[0], "wow"
    if drifts and spread <= _NOISY_S:
        return straight, "speed"
    return None


def _curved(heard: Heard, part: Part) -> tuple[Part, float] | None:
    """The curve about a part, and by how much it misses what it has not seen; None for one that
    breaks a bound."""
    part, miss = timing.followed(heard, part)
    if not miss <= _MOST_MISS_S:
        return None
    times = np.arange(part.begin_s, part.end_s, timing.KNOT_S / 2)
    speed = np.diff(part.at(times)) / np.diff(times) - 1
    change = np.abs(np.diff(speed)) / (timing.KNOT_S / 2)
    steady = np.abs(speed).max(initial=0.0) <= MOST_PPM * 1e-6 and change.max() <= MOST_CHANGE
    return (part, miss) if steady else None


def _followed(look: Look, heard: Heard, line: Part | None) -> Part | None:
    """A curve that was followed all over a mixture, from a line or from wherever it is sure."""
    if line is None:
        rate, settings = heard.rate, look.x.settings
        most = round(settings.max_offset_s * coarse.PER_S)
        found = coarse.lines(look.x.onsets, look.y.onsets, -most, most, 2)
        shift_s, middle_s = (look.y.start - look.x.start) / rate, look.x.start / rate
        lines = [Line(one.offset + shift_s, one.slope, one.middle + middle_s) for one in found]
        seed = track.seed(heard, lines)
    else:
        seed = line
    followed = track.follow(heard, seed) if seed is not None else None
    begin_s, end_s = heard.extent_s
    if followed is None or followed.end_s - followed.begin_s < _FOLLOWED * (end_s - begin_s):
        return None
    curved = _curved(heard, heard.shared(followed.between(begin_s, end_s)))
    return curved[0] if curved else None


class _Moved:
    """An instrumental's channel on a mixture's clock; frames `begin` to `end` of its file."""

    def __init__(self, signal: Signal, part: Part, rate: int, begin: int, end: int) -> None:
        self._heard = Heard(signal, signal, rate, begin)
        self._part, self._frames = part, max(0, end - begin)
        self._held = self._made(0, self._frames) if self._frames <= _HELD else None

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, wanted: slice, /) -> np.ndarray:
        start, stop, _ = wanted.indices(self._frames)
        if self._held is not None:
            return self._held[start:stop]
        return self._made(start, max(start, stop))

    def _made(self, start: int, stop: int) -> np.ndarray:
        if stop <= start:
            return np.zeros(0, np.float32)
        blocks = range(start, stop, 1 << 16)
        made = [
            self._heard.moved(self._part, at, min(stop, at + (1 << 16)), varispeed.COARSE)
            for at in blocks
        ]
        return np.concatenate(made)


class _Joined:
    """Signals one after another."""

    def __init__(self, signals: Sequence[Signal]) -> None:
        self._signals = signals
        self._ends = np.cumsum([len(signal) for signal in signals])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, wanted: slice, /) -> np.ndarray:
        start, stop, _ = wanted.indices(len(self))
        begin, found = 0, [np.zeros(0, np.float32)]
        for signal, end in zip(self._signals, map(int, self._ends), strict=True):
            first, last = max(start, begin), min(stop, end)
            if first < last:
                found.append(np.asarray(signal[first - begin : last - begin]))
            begin = end
        return np.concatenate(found)


def _moved(sound: TrimmedSignal, part: Part, begin: int, end: int) -> Stereo:
    rate, both = sound.settings.sample_rate, sound.both
    mid = _Moved(both.mid, part, rate, begin, end)
    side = None if both.side is None else _Moved(both.side, part, rate, begin, end)
    return Stereo(mid, side)


def _on_clock(look: Look, part: Part, repair: str) -> Scores | None:
    """The measures on a clock; None where the pair is not coherent even then."""
    x, rate = look.x, _rate(look)
    sound = _moved(look.y, part, x.start, x.start + len(x.samples))
    again = _again(look, x, TrimmedSignal(sound, x.settings, look.y.gains), x.start)
    if again is None or not again.coherent or _is_worse(again, look.scores):
        return None
    part = part.moved(again.offset_s + x.start / rate)
    return dataclasses.replace(
        again,
        offset_s=float(part.at(np.zeros(1))[0]),
        drift_ppm=part.drift_ppm,
        clock=part.pieces,
        repaired=_with(again, repair),
    )


def _is_worse(again: Scores, first: Scores) -> bool:
    """Whether more is left of a pair that was coherent as it was."""
    before, after = (max((one.residual_db or {}).values(), default=0.0) for one in (first, again))
    return bool(first.coherent) and after > before


def _again(look: Look, x: TrimmedSignal, y: TrimmedSignal, began: int) -> Scores | None:
    """Align and compare once more what lies on one clock, but for the silence that was trimmed;
    frame `began` of x's file is frame 0 of y's."""
    rate, settings = _rate(look), x.settings
    if x.is_silent or y.is_silent:
        return None
    lies = alignment.align(x.samples, y.samples, rate, settings.max_offset_s, (x.onsets, y.onsets))
    expected_s = (x.start - began - y.start) / rate
    if lies.confidence < scores.SURE or abs(lies.offset_s - expected_s) > _AGREES_S:
        return None
    lies = dataclasses.replace(lies, drift_ppm=None, drifts=False)
    along = scores.compare(x, y, lies, look.scores.difference_sum)
    return None if along is None else _levelled(x, y, lies, along) or along.scores


def _levelled(x: TrimmedSignal, y: TrimmedSignal, lies: Alignment, along: Along) -> Scores | None:
    """The measures with the instrumental at the level that it has in each few seconds of the
    mixture; None where that does not change, or the pair is not coherent even then."""
    aligned = along.aligned
    low = aligned.bins(coherence.LOW_HZ, aligned.sample_rate).start
    gains = levels.along(along.segments, along.matched, low)
    if gains is None:
        return None
    middles = (along.segments.frames[:-1] + along.segments.frames[1:]) / 2 * aligned.hop_length
    places = y.start + middles + aligned.line.offset
    other = y.changed(lambda signal: Levelled(signal, places, gains))
    again = scores.compare(x, other, lies, along.scores.difference_sum)
    if again is None or not again.scores.coherent:
        return None
    return dataclasses.replace(again.scores, repaired="level")


def _with(again: Scores, *repairs: str) -> str:
    """The names of repairs beside what was repaired already."""
    return "+".join([*repairs, *([again.repaired] if again.repaired else [])])


def _in_parts(look: Look, found: Sequence[Part]) -> Scores | None:
    """The measures of parts, one after another."""
    rate, settings = _rate(look), look.x.settings
    frames = [(math.ceil(part.begin_s * rate), math.floor(part.end_s * rate)) for part in found]
    both = look.x.both
    mids = [SignalSlice(both.mid, *edges) for edges in frames]
    sides = [SignalSlice(both.side, *edges) for edges in frames] if both.side is not None else None
    x = Stereo(_Joined(mids), _Joined(sides) if sides else None)
    moved = [_moved(look.y, part, *edges) for part, edges in zip(found, frames, strict=True)]
    others = [one.side for one in moved if one.side is not None]
    y = Stereo(_Joined([one.mid for one in moved]), _Joined(others) if others else None)
    gains = look.x.gains, look.y.gains
    sounds = [TrimmedSignal(s, settings, g) for s, g in zip((x, y), gains, strict=True)]
    again = _again(look, sounds[0], sounds[1], 0)
    if again is None:
        return None
    later_s = again.offset_s
    found = [part.moved(later_s) for part in found]
    steepest = max((abs(part.drift_ppm) for part in found), default=0.0)
    first = found[0]
    length = sum(part.end_s - part.begin_s for part in found)
    return dataclasses.replace(
        again,
        offset_s=first.others[0] - first.times[0],
        drift_ppm=max((part.drift_ppm for part in found), key=abs),
        matched_spans=[[part.begin_s, part.end_s] for part in found],
        matched_share=min(1.0, length * rate / len(look.x.samples)),
        clock=[piece for part in found for piece in part.pieces],
        repaired=_with(again, *(["speed"] if steepest > 0 else []), "parts"),
    )
