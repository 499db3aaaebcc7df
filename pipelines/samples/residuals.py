"""Whether mixture − accompaniment is a vocal, sample by sample: how two signals lie. Free of Beam.

What `prune` finds at 8 kHz is near enough up to 4 kHz; at 10 kHz a microsecond less is a tenth of
a period, and another channel than it looked at may be late. So the delay is sought anew at the
corpus' rate, and what is then left of the backing is measured there in every channel that is
written (`pipelines.samples.leftover`), of each chunk apart.
"""

import math
from collections.abc import Iterable

import numpy as np
import scipy.fft

from matching.sound.repairs import equaliser, levels
from matching.sound.signals import powers
from pipelines.samples import delays, leftover
from pipelines.samples.encoders import Shares
from pipelines.samples.leftover import Leftover

N_FFT = 8192
MOST_FRAMES = 4.0  # that prune's offset may be off, in frames of the corpus
MOST_DRIFT_PPM = 5.0  # beyond this, no single offset holds for a song
FEWEST_FRAMES = 16  # of a stretch whose coherence is more than chance
LARGEST_LEFT_DB = -21.5  # of the backing, relative to the voice
LARGEST_NOISY_DB = -18.0  # of it, where a codec's noise is left over too
LARGEST_EXPLAINED_DB = -22.5  # of what the backing's own samples explain, there
LARGEST_SHARE = 0.9  # of what the codecs should leave: all that is left of a song by agreement
LARGEST_SURE_SHARE = 0.4  # of it, where that is well above what agrees by chance
BY_CHANCE_DB = -38.5  # relative to the backing
LARGEST_BENT_SHARE = 0.05  # of it, beside what is by chance: what is bent, as by soft clipping
LARGEST_CLIPPED_SHARE = 0.005  # of it: what is found of what the mixture's peaks lack
LARGEST_OF_PIECE = 4.0  # of these: of a chunk, of which less can be told
LEAST_AT_LEVEL_DB = -32.0  # of the backing: codecs' noise beside which a level's error is small
INAUDIBLE_DB = -50.0  # relative to the backing
PIECE_S = 12.0  # of a song; less says little
WHOLE_S = 36.0  # of a song, in which a lossy pair is held against its codecs
_FINER = 16  # points of the correlation for each frame
_LOWEST_COHERENCE = 0.3  # below it, a bin says nothing of the delay
_INCOHERENT = 0.01  # so that no bin outweighs all
_FAINTEST = 1e-10  # of the strongest bin's power; below it, as above a codec's cutoff, windows leak
_FEWEST_BINS = 32
Codecs = tuple[Shares, Shares]


class Lie:
    """Power and cross-power of two signals that arrive in blocks, by channel and frequency."""

    def __init__(self) -> None:
        self._xx = self._yy = self._xy = np.zeros((1, N_FFT // 2 + 1))
        self.frames = 0

    def add(self, mixture: np.ndarray, accompaniment: np.ndarray) -> None:
        """Further samples of both, [channels, frames], aligned, level and all."""
        window = np.hanning(N_FFT).astype(np.float32)
        for start in range(0, mixture.shape[1] - N_FFT + 1, N_FFT // 2):
            X, Y = (
                scipy.fft.rfft(window * side[:, start : start + N_FFT], axis=1)
                for side in (mixture, accompaniment)
            )
            self._xx = self._xx + powers(X)
            self._yy = self._yy + powers(Y)
            self._xy = self._xy + X * Y.conj()
            self.frames += 1

    def delay(self) -> float | None:
        """Frames by which the accompaniment must be moved ahead yet, within ±MOST_FRAMES, in all
        channels together; None where the two share too little to tell.

        The peak of the cross-correlation, each frequency at the weight of its coherence, as of the
        likeliest delay (Hannan and Thomson 1973): what is barely coherent hardly counts.
        """
        xy, both = self._xy, self._xx * self._yy
        coherence = np.divide(np.abs(xy) ** 2, both, out=np.zeros_like(both), where=both > 0)
        told = coherence >= _LOWEST_COHERENCE
        for power in (self._xx, self._yy):
            told &= power > _FAINTEST * power.max()
        told[:, 0] = False
        if told.sum() < _FEWEST_BINS:
            return None
        phases = np.zeros_like(xy)
        weights = coherence[told] / (_INCOHERENT + 1 - coherence[told])
        phases[told] = weights * xy[told] / np.abs(xy[told])
        wave = np.fft.irfft(phases.sum(axis=0), N_FFT * _FINER)
        reach = round(MOST_FRAMES * _FINER)
        near = np.concatenate([wave[-reach:], wave[: reach + 1]])
        peak = int(near.argmax())
        if not 0 < peak < len(near) - 1:
            return None
        before, here, after = near[peak - 1 : peak + 2]
        vertex = 0.5 * (before - after) / (before - 2 * here + after)
        return -(peak - reach + float(vertex)) / _FINER


class Judge:
    """Decides of a pair's chunks whether mixture − accompaniment is written as their vocals.

    `delay` is how many frames the accompaniment must be moved ahead of where prune puts it.
    `codecs`: the noise that those of mixture and accompaniment leave; None where both are lossless.
    `follows_level`: whether an accompaniment may be brought to its level piece by piece. `taps` are
    filters that it goes through besides, as in `equaliser.fitted`.
    """

    def __init__(
        self,
        rate: int,
        delay: float,
        codecs: Codecs | None,
        *,
        follows_level: bool = True,
        taps: np.ndarray | None = None,
    ) -> None:
        self.rate, self.delay, self.codecs = rate, delay, codecs
        self.follows_level, self.taps = follows_level, taps
        self._song = Leftover()  # of its pieces in which the vocals are true
        self.written = Leftover()
        self.whole = Leftover()  # of lossy files, what was held against their codecs
        self._by_codec_alone = True
        self._at_level_alone = False  # so that it holds of no chunk that is not at its level
        self.pieces = self.true_pieces = 0  # that were learnt from; of them, with a true voice

    def learn(self, mixture: np.ndarray, accompaniment: np.ndarray) -> None:
        """How loud the voice is, and how much seems to be left, from some of the song, [channels,
        frames]; where its level changes, at the level that it has in each piece."""
        size = round(PIECE_S * self.rate)
        if self.codecs is not None:
            part = slice(0, round(WHOLE_S * self.rate))
            self._by_codec_alone = self._of_codecs(mixture[:, part], accompaniment[:, part])
            if not self._by_codec_alone and self._may_follow:
                level = self._levelled(mixture[:, part], accompaniment[:, part], size)
                self._by_codec_alone = self._at_level_alone = self._of_codecs(
                    mixture[:, part], level
                )
        found = Leftover()
        for at in range(0, max(1, mixture.shape[1] - size // 2), size):
            part = slice(at, at + size)
            held = mixture[:, part], accompaniment[:, part]
            piece = self._measure(*held)
            if piece.size and not self._passes(piece) and self._may_follow:
                piece = self._measure(held[0], self._levelled(*held, size))
            self.pieces += bool(piece.size)
            if piece.size and self._passes(piece):
                found = found.plus(piece)
                self.true_pieces += self._by_codec_alone
        self._song = found

    @property
    def _may_follow(self) -> bool:
        """Whether a level that is found leaves little beside what the codecs leave."""
        least = self.whole.backing * 10 ** (LEAST_AT_LEVEL_DB / 10)
        is_noisy = self.codecs is None or self.whole.expected >= least
        return self.follows_level and is_noisy

    def _of_codecs(self, mixture: np.ndarray, accompaniment: np.ndarray) -> bool:
        """Whether no more is left than the codecs should leave."""
        whole = self._measure(mixture, accompaniment)
        chance = whole.backing * 10 ** (BY_CHANCE_DB / 10)
        sure = LARGEST_SURE_SHARE + chance / max(whole.expected, 1e-30)
        self.whole = whole
        in_share = _in_share(whole, min(LARGEST_SHARE, sure))
        is_straight = whole.bent_in_all <= LARGEST_BENT_SHARE * whole.expected + chance
        return in_share and is_straight and _is_as_high(whole, LARGEST_CLIPPED_SHARE)

    def _levelled(self, mixture: np.ndarray, accompaniment: np.ndarray, size: int) -> np.ndarray:
        """The accompaniment at the level that it has in each `size` frames of the mixture."""
        pieces = []
        for at in range(0, mixture.shape[1], size):
            x, y = (side[:, at : at + size] for side in (mixture, accompaniment))
            gains_db = levels.gains_db(x, y, self.rate)
            pieces.append(levels.applied(y, gains_db) if gains_db else y)
        return np.concatenate(pieces, axis=1)

    def left_db(
        self,
        mixture: np.ndarray,
        accompaniment: np.ndarray,
        voice: float = 1.0,
        *,
        at_level: bool = False,
    ) -> float | None:
        """What is left of the backing in a chunk's vocals, relative to the song's voice or, where
        that is louder, to the chunk's; None where they are not written.

        `voice`: what of its power the song's voice is turned down to in this chunk; `at_level`:
        the accompaniment was brought to its level.
        A chunk shorter than PIECE_S is judged together with what it lacks of that, at most its own
        length, of the song at its mean: in less, a voice and its backing are alike by chance.
        """
        if not self._by_codec_alone or (self._at_level_alone and not at_level):
            return None
        if at_level and not self._may_follow:
            return None
        found = self._measure(mixture, accompaniment)
        if not found.size:
            return None  # a tenth of a second says nothing
        lacking = found.size * min(1.0, max(0.0, PIECE_S * self.rate / mixture.shape[1] - 1))
        filled = found
        if self._song.size:
            filled = found.plus(self._song, lacking / self._song.size)
        if not self._passes(filled, voice):
            return None
        self.written = self.written.plus(found)
        return _ratio_db(found.left, self._heard(found, voice))

    def _measure(self, mixture: np.ndarray, accompaniment: np.ndarray) -> Leftover:
        return leftover.measure(mixture, accompaniment, self.rate, self.codecs)

    def _heard(self, found: Leftover, share: float = 1.0) -> float:
        """The power of the voice that what is left over is held against."""
        song = self._song
        level = share * max(0.0, song.voice - song.left) / song.size if song.size else 0.0
        return max(0.0, found.voice - found.left, level * found.size)

    def _passes(self, found: Leftover, share: float = 1.0) -> bool:
        voice, least = self._heard(found, share), found.backing * 10 ** (INAUDIBLE_DB / 10)

        def below(left: float, largest_db: float) -> bool:
            return left <= max(least, voice * 10 ** (largest_db / 10))

        if self.codecs is None:
            return below(found.left, LARGEST_LEFT_DB)
        noisy = below(found.left, LARGEST_NOISY_DB)
        explained = below(found.explained, LARGEST_EXPLAINED_DB)
        in_share = _in_share(found, LARGEST_OF_PIECE)
        as_high = _is_as_high(found, LARGEST_CLIPPED_SHARE * LARGEST_OF_PIECE)
        return noisy and explained and in_share and as_high


def written_db(judges: Iterable[Judge]) -> float | None:
    """What is left in all chunks that were written, of the parts of a pair, relative to all of
    their voice; None where none was."""
    written = Leftover()
    for one in judges:
        written = written.plus(one.written)
    return _ratio_db(written.left, written.voice - written.left) if written.size else None


def of_codecs_db(judges: Iterable[Judge]) -> tuple[float | None, float | None, float | None]:
    """What is left by agreement in some of a lossy pair, what is found of what its mixture's peaks
    lack, and what is bent, relative to what its codecs should leave; None of lossless ones."""
    whole = Leftover()
    for one in judges:
        whole = whole.plus(one.whole)
    if not whole.size:
        return None, None, None
    agreed, clipped, bent = (
        _ratio_db(part, whole.expected) for part in (whole.agreed, whole.clipped, whole.bent_in_all)
    )
    return agreed, clipped, bent


def judge(
    mixture: np.ndarray,
    accompaniment: np.ndarray,
    rate: int,
    codecs: Codecs | None,
    *,
    follows_level: bool = True,
    equalises: bool = False,
) -> Judge | None:
    """Who decides on a pair, from some of it; None where no delay can be told.

    `mixture` and `accompaniment` [channels, frames] are at their levels and to a frame or two on
    one clock; `codecs` and `follows_level` as in Judge. `equalises`: where not all is true as it
    is, and filters are found with which more is, it is through these.
    """
    lie = Lie()
    lie.add(mixture, accompaniment)
    delay = lie.delay() if lie.frames >= FEWEST_FRAMES else None
    if delay is None:
        return None
    found = Judge(rate, delay, codecs, follows_level=follows_level)
    moved = moved_ahead(accompaniment, delay)
    found.learn(mixture, moved)
    if not equalises or found.true_pieces == found.pieces:
        return found
    taps = equaliser.fitted(mixture, moved, rate)
    if taps is None:
        return found
    other = Judge(rate, delay, codecs, follows_level=follows_level, taps=taps)
    other.learn(mixture, np.concatenate([*delays.filtered([moved], taps)], axis=1))
    return other if other.true_pieces > found.true_pieces else found


def moved_ahead(samples: np.ndarray, frames: float) -> np.ndarray:
    """A signal [channels, frames] moved ahead by a few frames, silence taking the place."""
    whole = round(frames)
    padded = np.pad(samples, ((0, 0), (max(0, -whole), max(0, whole))))
    cut = padded[:, max(0, whole) :][:, : samples.shape[1]]
    return np.concatenate(list(delays.moved([cut], frames - whole)), axis=1)


def within(begin_s: float, end_s: float, spans: Iterable[Iterable[float]], slack_s: float) -> bool:
    """Whether a stretch lies in one of the spans, or sticks out by no more than `slack_s`."""
    return any(
        begin_s >= start - slack_s and end_s <= end + slack_s for start, end in map(tuple, spans)
    )


def _in_share(found: Leftover, largest: float) -> bool:
    """Whether no more is left than a share of what the codecs should leave, or nothing audible."""
    least = found.backing * 10 ** (INAUDIBLE_DB / 10)
    return found.agreed <= max(least, largest * found.expected)


def _is_as_high(found: Leftover, largest: float) -> bool:
    """Whether the mixture's peaks lack no more than a share of what the codecs should leave."""
    least = found.backing * 10 ** (INAUDIBLE_DB / 10)
    return found.clipped <= largest * max(least, found.expected)


def _ratio_db(left: float, voice: float) -> float:
    """10 log10(left / voice), between ±120 dB."""
    least = 1e-12 * max(left, voice) + 1e-30
    return round(10 * math.log10(max(left, least) / max(voice, least)), 2)
