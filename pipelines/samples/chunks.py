"""Songs cut into chunks: aligned sources in, integer samples and FLAC files out. Free of Beam.

Sources are decoded, resampled and cut block by block, so a song's length costs no memory.
"""

import contextlib
import dataclasses
import functools
import io
import math
import time
from collections.abc import Generator, Iterator, Mapping, Sequence

import numpy as np
import soundfile

from matching.sound.repairs import varispeed
from matching.sound.repairs.clock import STEEPEST, Part
from pipelines.samples import delays
from stemlode import audio
from stemlode.audio import AudioError, mixdown
from stemlode.progress import meters
from stemlode.retry import read_fault

QUIETEST_DB = -120.0  # what digital silence counts as
SMALLEST_LEAD = 0.01  # frames


@dataclasses.dataclass(frozen=True)
class Clock:
    """Where a source's samples lie on the time of a song's mixture: frame n of the corpus is that
    of time `(first_frame + n) / rate` of the mixture, moved by `delay_frames` of the corpus."""

    part: Part
    first_frame: int = 0
    delay_frames: float = 0.0


@dataclasses.dataclass(frozen=True)
class AlignedSource:
    """One source of a song: where its audio lies and how it lies against the others."""

    name: str
    uri: str
    skip_frames: int = 0  # to leave out at the beginning, at the corpus' rate
    factor: float = 1.0  # to multiply by: gain and polarity
    stream: int = 0  # of a file that holds several
    channel: int | None = None  # of the file's, where it alone is the source
    lead: float = 0.0  # part of a frame, −½ to ½, by which it is moved ahead as well
    gains: tuple[tuple[float, float], ...] = ()  # of left and right in each channel; () as they are
    frames: int | None = None  # where it ends, after so many
    clock: Clock | None = None  # by which it is read instead of from `skip_frames` and `lead` on
    taps: np.ndarray | None = None  # [channels, taps] that it goes through, see `delays.filtered`


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A chunk as it is written: integers [channels, frames] by source, true ones times `scale`.

    `leftover_db` is what of the backing is left in a pair's vocals, see `residuals.Judge`;
    `level_db` are gains that its accompaniment was brought to its level by, see `levels.gains_db`,
    `equalised_db` those of the filters that it went through, see `equaliser.octaves_db`.
    """

    first_frame: int
    integers: dict[str, np.ndarray]
    scale: float
    leftover_db: float | None = None
    level_db: tuple[float, ...] | None = None
    equalised_db: tuple[float, ...] | None = None


def aligned_pair(
    mixture_uri: str,
    instrumental_uri: str,
    *,
    offset_frames: float,
    gain_db: float,
    polarity: int,
    mixture_gains: tuple[tuple[float, float], ...] = (),
    instrumental_gains: tuple[tuple[float, float], ...] = (),
) -> tuple[list[AlignedSource], int]:
    """Mixture and accompaniment on one clock, and the frame of the mixture where both begin.

    mixture(n) ≈ polarity · 10^(gain_db / 20) · instrumental(n + offset_frames), in frames of the
    corpus, once the channels of each are at their gains. Less than a hundredth of a frame is not
    worth an interpolation: then the instrumental's own samples stay what they are.
    """
    shift = round(offset_frames)
    lead = offset_frames - shift
    factor = math.copysign(10 ** (gain_db / 20), polarity)
    first = max(0, -shift)
    sources = [
        AlignedSource("mixture", mixture_uri, first, gains=mixture_gains),
        AlignedSource(
            "accompaniment",
            instrumental_uri,
            max(0, shift),
            factor,
            lead=lead if abs(lead) >= SMALLEST_LEAD else 0.0,
            gains=instrumental_gains,
        ),
    ]
    return sources, first


def pair_on_clock(
    mixture_uri: str,
    instrumental_uri: str,
    part: Part,
    *,
    sample_rate: int,
    whole: bool,
    delay_frames: float,
    gain_db: float,
    polarity: int,
    mixture_gains: tuple[tuple[float, float], ...] = (),
    instrumental_gains: tuple[tuple[float, float], ...] = (),
) -> tuple[list[AlignedSource], int]:
    """As `aligned_pair`, of a part of a mixture that has a clock of its own; of the `whole` mixture
    as far as that clock holds straight on.

    Where the two run at one speed, the instrumental's samples stay what they are, as there.
    """
    begin_s, frames = part.begin_s, None
    if whole:  # from where the instrumental begins
        begin_s = max(0.0, -float(part.at(np.zeros(1))[0]) * (1 + STEEPEST))
    first = math.ceil(begin_s * sample_rate)
    if not whole:
        frames = math.floor(part.end_s * sample_rate) - first
    factor = math.copysign(10 ** (gain_db / 20), polarity)
    mixture = AlignedSource("mixture", mixture_uri, first, gains=mixture_gains, frames=frames)
    other = AlignedSource(
        "accompaniment", instrumental_uri, 0, factor, gains=instrumental_gains, frames=frames
    )
    if not part.is_even:
        return [mixture, dataclasses.replace(other, clock=Clock(part, first, delay_frames))], first
    offset = (part.others[0] - part.times[0]) * sample_rate + delay_frames
    shift = round(offset)
    lead = offset - shift if abs(offset - shift) >= SMALLEST_LEAD else 0.0
    skipped = max(0, first + shift)
    return [mixture, dataclasses.replace(other, skip_frames=skipped, lead=lead)], first


def cut(
    sources: Sequence[AlignedSource],
    *,
    sample_rate: int,
    channels: int,
    chunk_frames: int,
    until: str | None = None,
    lengths: dict[str, int] | None = None,
    counted: bool = True,
) -> Iterator[dict[str, np.ndarray]]:
    """Contiguous chunks of a song: source name → float32 [channels, frames].

    Every chunk has `chunk_frames` frames but the last, which may be shorter. The song ends with
    its shortest source; or, given `until`, where that source ends, or with the longest where
    `until` is empty, and sources that are over earlier are followed by silence. How many frames
    each had so far is kept in `lengths`. `counted`: as audio that the run has read.

    Raises AudioError naming the file that cannot be used, ReadFault where trying again may help.
    """
    with contextlib.ExitStack() as stack:
        streams = {
            source.name: stack.enter_context(
                contextlib.closing(_chunks(source, sample_rate, channels, chunk_frames, counted))
            )
            for source in sources
        }
        nothing = np.zeros((channels, 0), np.float32)
        while True:
            chunk = {name: next(stream, nothing) for name, stream in streams.items()}
            held = {name: samples.shape[1] for name, samples in chunk.items()}
            if until is None:
                frames = min(held.values())
            else:
                frames = held[until] if until else max(held.values())
            if lengths is not None:
                for name, count in held.items():
                    lengths[name] = lengths.get(name, 0) + count
            if frames:
                yield {name: _of_length(samples, frames) for name, samples in chunk.items()}
            if frames < chunk_frames:
                break
        for stream in streams.values():  # a file damaged further on is a damaged file
            for _ in stream:
                pass


def full_scale(bits: int) -> int:
    """The integer that stands for 1.0."""
    return 1 << (bits - 1)


def quantise(
    sources: Mapping[str, np.ndarray], sums: Mapping[str, Mapping[str, int]], bits: int = 16
) -> tuple[dict[str, np.ndarray], float]:
    """Float sources → integers of 16 or 24 bit that hold them and their sums, and the scale.

    Args:
        sources: float32 [channels, frames] by name, full scale ±1.
        sums: further sources by name, each a weighted sum (name → ±1) of those before it. They
            are summed as integers, so that every residual between them is exact.

    Returns int16 (of 24 bit: int32) [channels, frames] by name, and the smallest power of two ≥ 1
    with which all of them fit: true samples are integers / 2^(bits − 1) · scale. At scale 1 a
    file's own integers come out, where it has no more bits.
    """
    full, kept = full_scale(bits), np.int16 if bits == 16 else np.int32
    ends = [end for samples in sources.values() for end in _ends(samples)]
    peak = max((abs(end) for end in ends), default=0.0)
    scale = 2.0 ** max(0, math.ceil(math.log2(max(peak, 1))) - 1)
    # Integers below 2^24 are exact as float32, which is faster to add up and to compare.
    wide = np.float32 if bits == 16 else np.int32
    while True:
        factor = np.float32(full / scale)
        reached = [float(np.rint(np.float32(end) * factor)) for end in ends]
        integers = {}
        for name, samples in sources.items():
            scaled = samples * factor
            integers[name] = np.rint(scaled, out=scaled).astype(wide, copy=False)
        for name, weights in sums.items():
            terms = [integers[n] if sign > 0 else -integers[n] for n, sign in weights.items()]
            integers[name] = functools.reduce(np.add, terms)
            reached += _ends(integers[name])
        if all(-full <= end < full for end in reached):
            return {name: samples.astype(kept) for name, samples in integers.items()}, scale
        scale *= 2


def flac(samples: np.ndarray, sample_rate: int, bits: int = 16) -> bytes:
    """Integers of 16 or 24 bit [channels, frames] as a FLAC file of as many."""
    file = io.BytesIO()
    frames = samples.T if bits == 16 else samples.T << 8  # libsndfile takes the upper 24 of 32
    soundfile.write(file, frames, sample_rate, format="FLAC", subtype=f"PCM_{bits}")
    return file.getvalue()


def level_db(squares: float, count: int, scale: float, bits: int = 16) -> float:
    """Mean power of integer samples in dB re full scale, to 0.001 dB and no less than −120, by the
    sum of their squares and their number."""
    power = squares / max(count, 1) * (scale / full_scale(bits)) ** 2
    return round(max(QUIETEST_DB, 10 * math.log10(power)) if power else QUIETEST_DB, 3)


def _ends(samples: np.ndarray) -> tuple[float, float]:
    """The lowest and the highest sample, and 0."""
    return float(samples.min(initial=0)), float(samples.max(initial=0))


def _chunks(
    source: AlignedSource, sample_rate: int, channels: int, chunk_frames: int, counted: bool
) -> Generator[np.ndarray]:
    """One source's samples in pieces of `chunk_frames`, the last shorter, none empty."""
    skip, filled = source.skip_frames, 0
    left = math.inf if source.frames is None else source.frames
    chunk = np.empty((chunk_frames, channels), np.float32)  # as FLAC files hold it
    if source.clock:
        blocks = _on_clock(source, source.clock, sample_rate, channels, counted)
    else:
        blocks = _blocks(source, sample_rate, channels, counted)
    if source.lead:
        blocks = delays.moved(blocks, source.lead)
    if source.taps is not None:
        blocks = delays.filtered(blocks, source.taps)
    for block in blocks:
        begin, frames = min(skip, block.shape[1]), block.shape[1]
        skip -= begin
        frames = int(min(frames, begin + left))
        left -= frames - begin
        while begin < frames:
            end = min(frames, begin + chunk_frames - filled)
            chunk[filled : filled + end - begin] = block[:, begin:end].T * np.float32(source.factor)
            filled, begin = filled + end - begin, end
            if filled == chunk_frames:
                yield chunk.T
                chunk, filled = np.empty_like(chunk), 0
    if filled:
        yield chunk[:filled].T


def _on_clock(
    source: AlignedSource, clock: Clock, sample_rate: int, channels: int, counted: bool
) -> Iterator[np.ndarray]:
    """As `_blocks`, on a clock: speed and rate are changed in one pass."""
    try:
        from_rate = audio.probe(source.uri, stream=source.stream).sample_rate
    except AudioError as error:
        raise AudioError(f"{source.name} {source.uri}: {error}", error.error) from error
    except OSError as error:
        raise read_fault(error, source.uri) from error

    def places(first: int, count: int) -> np.ndarray:
        frames = np.arange(first, first + count) + clock.first_frame
        times = clock.part.at(frames / sample_rate) + clock.delay_frames / sample_rate
        return times * from_rate

    yield from varispeed.resampled(
        _blocks(source, from_rate, channels, counted), places, min(1.0, sample_rate / from_rate)
    )


def _blocks(
    source: AlignedSource, sample_rate: int, channels: int, counted: bool
) -> Iterator[np.ndarray]:
    """A source's decoded blocks, float32 [channels, frames]; errors say which source it is."""
    try:
        blocks = audio.blocks(source.uri, sample_rate=sample_rate, stream=source.stream)
        for block in _counted(blocks) if counted else blocks:
            samples = _channel(block.samples, source.channel)
            if source.gains:
                both = mixdown.with_channels(samples, 2)
                samples = np.asarray(source.gains, np.float32) @ both
            yield mixdown.with_channels(samples, channels)
    except AudioError as error:
        raise AudioError(f"{source.name} {source.uri}: {error}", error.error) from error
    except OSError as error:
        raise read_fault(error, source.uri) from error


def _counted(blocks: Iterator[audio.Audio]) -> Iterator[audio.Audio]:
    """Blocks of a file as they come, whose length and time count once no more are asked for."""
    took_s = heard_s = 0.0
    try:
        while True:
            begun = time.perf_counter()
            block = next(blocks, None)
            took_s += time.perf_counter() - begun
            if block is None:
                return
            heard_s += block.duration_s
            yield block
    finally:
        if heard_s:
            meters.decoded(heard_s, 1000 * took_s)


def _channel(samples: np.ndarray, channel: int | None) -> np.ndarray:
    if channel is None:
        return samples
    if len(samples) <= channel:
        raise AudioError(f"{len(samples)} channels; the source is number {channel + 1}", "channels")
    return samples[channel : channel + 1]


def _of_length(samples: np.ndarray, frames: int) -> np.ndarray:
    """Cut, or followed by silence, to this many frames."""
    missing = frames - samples.shape[1]
    return np.pad(samples, ((0, 0), (0, missing))) if missing > 0 else samples[:, :frames]
