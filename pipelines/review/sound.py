"""What a reviewer hears and sees of a pair: aligned excerpts and their spectrograms. No Beam.

An excerpt is at most a minute, so memory is bounded however long the song; the rest of the song is
further excerpts. Rendered ones are kept while they are likely to be asked for again.
"""

import contextlib
import io
import math
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import scipy.fft
import soundfile

from pipelines.pages import excerpts, media
from pipelines.review.sample import SampledPair
from stemlode import audio
from stemlode.audio import AudioError, mixdown
from stemlode.runs import reason

RATE = 44_100  # Hz
EXCERPT_S = 60
KEPT = 4  # rendered excerpts in memory, about 32 MB each
PATIENCE_S = 120.0  # for an excerpt to be rendered
LATEST_S = 86_400  # where an excerpt may begin
PIECE = 512 * media.HOP_LENGTH  # frames of which a difference is made at a time
MARGIN = 2 * media.N_FFT
LARGEST_GAIN_DB = 40.0
NAMES = ("mixture", "instrumental", "difference")
Key = tuple[int, int]  # a pair's number in the sample, where the excerpt begins


@dataclass(frozen=True)
class Sound:
    """An excerpt as a WAV file and a PNG picture, or why there is none."""

    wav: bytes = field(default=b"", repr=False)
    png: bytes = field(default=b"", repr=False)
    error: str = ""


@dataclass(frozen=True)
class Excerpt:
    """The three sounds of a pair from `start_s` on, in the mixture's time."""

    start_s: int
    seconds: float
    sounds: dict[str, Sound]


def duration(pair: SampledPair) -> float | None:
    """The mixture's length in seconds: what its file says, or else the catalogue."""
    try:
        found = audio.probe(pair.mix.uri or "").duration_s
    except (AudioError, OSError):
        found = math.nan
    return found if math.isfinite(found) and found > 0 else pair.mix.duration_s


def first_start(pair: SampledPair, duration_s: float | None) -> int:
    """Where to begin: in the middle of the longest stretch that matches, or a third into the song.

    Whole seconds, so that the same excerpt is asked for by the same address.
    """
    room = max(0.0, (duration_s or 0.0) - EXCERPT_S)
    if pair.matched_spans:
        start, end = max(pair.matched_spans, key=lambda span: span[1] - span[0])
        wanted = (start + end - EXCERPT_S) / 2
    else:
        wanted = (duration_s or 0.0) / 3
    return math.floor(min(max(0.0, wanted), room))


def render(pair: SampledPair, start_s: int) -> Excerpt:
    """Decode, align and compare an excerpt. What cannot be read is said in its place."""
    heard: dict[str, np.ndarray] = {}
    errors: dict[str, str] = {}
    ratio = 1 - (pair.drift_ppm or 0.0) * 1e-6
    starts = {"mixture": float(start_s), "instrumental": start_s * ratio + pair.offset_s}
    for name, track in (("mixture", pair.mix), ("instrumental", pair.instrumental)):
        try:
            is_mended = name == "instrumental" and pair.clock
            heard[name] = (
                _on_clock(track.uri, pair, start_s) if is_mended else _read(track.uri, starts[name])
            )
        except (AudioError, OSError) as error:
            errors[name] = reason(error)
    if "mixture" in heard and not heard["mixture"].shape[1]:
        errors["mixture"] = f"ends before {start_s} s"
        heard = {}
    if "instrumental" in heard:
        gain_db = min(max(pair.gain_db, -LARGEST_GAIN_DB), LARGEST_GAIN_DB)
        heard["instrumental"] *= np.float32(pair.polarity * 10 ** (gain_db / 20))
    if len(heard) == 2:
        mixture, other = heard["mixture"], heard["instrumental"]
        frames = mixture.shape[1]
        other = np.pad(other, ((0, 0), (0, max(0, frames - other.shape[1]))))[:, :frames]
        heard["instrumental"] = other
        heard["difference"] = mixture - other if pair.coherent else _residual(mixture, other)
    else:
        errors["difference"] = f"there is none without the {' and the '.join(errors)}"
    frames = max((sound.shape[1] for sound in heard.values()), default=0)
    sounds = {name: Sound(error=error) for name, error in errors.items()}
    return Excerpt(start_s, frames / RATE, sounds | _rendered(heard))


class Renderer:
    """Renders excerpts one after the other, and keeps the last few. Safe for several threads."""

    def __init__(self, pairs: list[SampledPair]) -> None:
        self._pairs = pairs
        self._held: OrderedDict[Key, Future[Excerpt]] = OrderedDict()
        self._waiting: Counter[Key] = Counter()
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, "render")

    @contextlib.contextmanager
    def wanted(self, index: int, start_s: int) -> Iterator[Future[Excerpt]]:
        """A pair's excerpt, rendered now or earlier; one that nobody waits for is not begun."""
        key = (index, start_s)
        with self._lock:
            future = self._held.get(key)
            if future is None:
                future = self._worker.submit(render, self._pairs[index], start_s)
                self._held[key] = future
            self._held.move_to_end(key)
            self._waiting[key] += 1
        try:
            yield future
        finally:
            with self._lock:
                self._leave(key, future)

    def _leave(self, key: Key, future: Future[Excerpt]) -> None:
        self._waiting[key] -= 1
        if not self._waiting[key]:
            del self._waiting[key]
            if future.cancel() or (future.done() and future.exception()):
                self._held.pop(key)
        idle = [other for other in self._held if other not in self._waiting]
        for other in idle[: max(0, len(self._held) - KEPT)]:
            self._held.pop(other).cancel()


def _read(uri: str | None, start_s: float) -> np.ndarray:
    """[2, frames] of a file from `start_s` on, silence before its beginning. Between samples it is
    shifted by its spectrum's phase, so that a difference of waveforms cancels up to the top.
    """
    if not uri:
        raise AudioError("the catalogue names no file")
    first = math.floor(start_s * RATE)
    fraction = start_s * RATE - first
    last = first + EXCERPT_S * RATE
    taken = [np.zeros((2, 0), np.float32)]
    at = 0
    for block in audio.blocks(uri, sample_rate=RATE):
        samples = mixdown.with_channels(block.samples, 2)
        taken.append(samples[:, max(0, first - at) : max(0, last - at)])
        at += samples.shape[1]
        if at >= last:
            break
    sound = np.pad(np.concatenate(taken, axis=1), ((0, 0), (min(last - first, max(0, -first)), 0)))
    sound = sound[:, : last - first]
    if fraction < 1e-3 or not sound.shape[1]:
        return sound
    frequencies = scipy.fft.rfftfreq(sound.shape[1]).astype(np.float32)
    phase = np.exp(np.complex64(2j * np.pi * fraction) * frequencies)
    return scipy.fft.irfft(scipy.fft.rfft(sound) * phase, sound.shape[1]).astype(np.float32)


def _on_clock(uri: str | None, pair: SampledPair, start_s: int) -> np.ndarray:
    """As `_read`, an instrumental on the clock that `prune` found."""
    if not uri:
        raise AudioError("the catalogue names no file")
    sound = excerpts.on_clock(uri, pair.clock, start_s, EXCERPT_S, RATE)
    return mixdown.with_channels(sound, 2)


def _residual(mixture: np.ndarray, other: np.ndarray) -> np.ndarray:
    """max(|X| − |Y|, 0) with the phase of X (thesis, 4.2.2), [channels, frames].

    Made piece by piece on one grid of frames, which gives what the whole would.
    """
    channels, frames = mixture.shape
    x, y = (np.pad(sound, ((0, 0), (MARGIN, MARGIN))) for sound in (mixture, other))
    out = np.empty_like(mixture)
    for start in range(0, frames, PIECE):
        length = min(PIECE, frames - start)
        for channel in range(channels):
            part = slice(start, start + length + 2 * MARGIN)
            X = media.stft(x[channel, part])
            loudness = np.abs(X)
            rest = np.maximum(loudness - np.abs(media.stft(y[channel, part])), 0)
            found = media.istft(X * (rest / np.maximum(loudness, 1e-12)), length + 2 * MARGIN)
            out[channel, start : start + length] = found[MARGIN : MARGIN + length]
    return out


def _rendered(heard: dict[str, np.ndarray]) -> dict[str, Sound]:
    """WAV files, turned down together where one would clip, and spectrograms, in decibels below the
    loudest bin of them all.
    """
    peak = max([1.0, *(float(np.abs(sound).max(initial=0.0)) for sound in heard.values())])
    magnitudes = {}
    for name, sound in heard.items():
        low = audio.resample(sound.mean(axis=0), RATE, media.RATE)
        magnitudes[name] = np.abs(media.stft(low)).astype(np.float32)
    loudest = max((float(m.max(initial=0.0)) for m in magnitudes.values()), default=0.0) or 1.0
    return {
        name: Sound(_wav(sound / np.float32(peak)), media.png(magnitudes[name], loudest))
        for name, sound in heard.items()
    }


def _wav(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples.T, RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()
