"""How much noise a lossy file's codec leaves, told from the file alone. Free of Beam.

What a file sounded like before it was encoded is not known. But encoded once more by the same codec
at the same rate of bits, on another grid of frames, it loses nearly as much again: on songs through
MP3 at 320 kbit/s the second loss was within 1 dB of the first. It is kept as a share of the signal
by frequency, as codecs hide noise under what is loud.
"""

import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import av
import numpy as np
import scipy.fft
import soundfile

from matching.sound.signals import powers
from stemlode import audio
from stemlode.audio import AudioError, decoders, kinds, mixdown
from stemlode.audio.libraries.ffmpeg import FFmpeg
from stemlode.audio.reading import blocks_of

# FFmpeg's encoders by codec, with a container in which they are decoded; for Vorbis libsndfile.
_ENCODERS = {
    "aac": ("aac", "adts"),
    "ac3": ("ac3", "ac3"),
    "eac3": ("eac3", "eac3"),
    "mp2": ("mp2", "mp2"),
    "mp3": ("libmp3lame", "mp3"),
    "opus": ("libopus", "ogg"),
    "wmav2": ("wmav2", "asf"),
}
_MP3_KBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_VORBIS_KBITS = (64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 500)  # stereo, of qualities 0 to 10
_OFF_GRID = 500  # frames that are left out at the beginning
_LATEST = 8192  # frames by which what comes back may be late
_PEAK = 0.9  # encoders clip
_BANDS = 3.0  # an octave
_LOW_HZ = 30.0
_N_FFT = 2048
_PIECE = 4096


@dataclass(frozen=True)
class Shares:
    """Power of noise relative to the signal, by band: `values[n]` from `edges_hz[n]` on."""

    edges_hz: np.ndarray
    values: np.ndarray

    def at(self, hz: np.ndarray) -> np.ndarray:
        """The share at each frequency."""
        place = np.searchsorted(self.edges_hz, hz, side="right") - 1
        return self.values[np.clip(place, 0, len(self.values) - 1)]


NONE = Shares(np.zeros(1), np.zeros(1))


def noise(
    uri: str,
    begin_s: float,
    seconds: float,
    gains: Sequence[Sequence[float]] = (),
    channels: int = 2,
) -> Shares | None:
    """What the codec of a file leaves in some of it, its channels taken as in `AlignedSource`.

    NONE for lossless files; None where no encoder of the codec is at hand, or nothing sounds.
    Raises AudioError and OSError as `audio.blocks`.
    """
    with decoders.opened(uri) as source:
        codec = source.info.format.rpartition("/")[2]
        if kinds.is_lossless(source.info.format):
            return NONE
        if not hasattr(source, "bits_a_second"):
            return None
        bits = source.bits_a_second(begin_s + seconds)
    heard, rate = _heard(uri, begin_s, seconds)
    if not bits or heard.shape[1] <= 2 * _LATEST:
        return None
    level = min(1.0, _PEAK / max(1e-9, float(np.abs(heard).max())))
    given = np.ascontiguousarray(heard[:, _OFF_GRID:] * np.float32(level))
    try:
        again = _again(given, rate, codec, bits)
    except (av.FFmpegError, soundfile.LibsndfileError, AudioError, ValueError):
        return None  # a rate of bits, or of samples, that this encoder does not take
    if again is None or again.shape[1] <= 2 * _LATEST:
        return None
    late = _late(again, given)
    again, given = again[:, max(0, late) :], given[:, max(0, -late) :]
    frames = min(again.shape[1], given.shape[1])
    signal, error = (
        _taken(samples, gains, channels)
        for samples in (given[:, :frames], again[:, :frames] - given[:, :frames])
    )
    return _shares(signal, error, rate)


def _heard(uri: str, begin_s: float, seconds: float) -> tuple[np.ndarray, int]:
    """Some of a file [channels, frames], and its rate."""
    held: list[np.ndarray] = []
    reached, rate = 0, 0
    for block in audio.blocks(uri):
        rate = block.sample_rate
        begin, end = (round(at * rate) - reached for at in (begin_s, begin_s + seconds))
        held.append(block.samples[:, max(0, begin) : max(0, end)])
        reached += block.samples.shape[1]
        if end <= block.samples.shape[1]:
            break
    return np.concatenate(held, axis=1), rate


def _again(samples: np.ndarray, rate: int, codec: str, bits: float) -> np.ndarray | None:
    """Samples through a codec and back, about where they were; None for a codec without encoder."""
    file = io.BytesIO()
    if codec == "vorbis":
        _vorbis(file, samples, rate, bits)
        container = "ogg"
    elif codec in _ENCODERS:
        encoder, container = _ENCODERS[codec]
        options = {}
        if encoder == "libmp3lame" and not any(abs(bits / 1000 - k) < 0.02 * k for k in _MP3_KBITS):
            options = {"abr": "1"}
        with av.open(file, "w", format=container) as output:
            stream = output.add_stream(encoder, rate=rate, options=options)
            assert isinstance(stream, av.AudioStream)
            stream.bit_rate = round(bits)
            layout = stream.layout = "stereo" if len(samples) == 2 else "mono"
            for piece in _pieces(samples):
                frame = av.AudioFrame.from_ndarray(piece, "fltp", layout)
                frame.rate = rate
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    else:
        return None
    file.seek(0)
    with FFmpeg.open(file, container={"adts": "aac"}.get(container, container)) as source:
        found = [block.samples for block in blocks_of(source, rate)]
    return np.concatenate(found, axis=1)


def _vorbis(file: io.BytesIO, samples: np.ndarray, rate: int, bits: float) -> None:
    kbits = bits / 1000 * 2 / len(samples)
    quality = float(np.interp(kbits, _VORBIS_KBITS, np.linspace(0, 1, len(_VORBIS_KBITS))))
    options = {"format": "OGG", "subtype": "VORBIS", "compression_level": 1 - quality}
    with soundfile.SoundFile(file, "w", rate, len(samples), **options) as output:
        for piece in _pieces(samples):
            output.write(piece.T)


def _pieces(samples: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, samples.shape[1], _PIECE):
        yield np.ascontiguousarray(samples[:, start : start + _PIECE])


def _late(copy: np.ndarray, original: np.ndarray) -> int:
    """Frames by which a copy is late, within ±_LATEST: where the correlation is highest."""
    frames = min(copy.shape[1], original.shape[1])
    size = scipy.fft.next_fast_len(frames + _LATEST, real=True)
    X, Y = (scipy.fft.rfft(x[:, :frames].sum(axis=0), size) for x in (copy, original))
    wave = scipy.fft.irfft(X * Y.conj(), size)
    near = np.concatenate([wave[-_LATEST:], wave[: _LATEST + 1]])
    return int(near.argmax()) - _LATEST


def _taken(samples: np.ndarray, gains: Sequence[Sequence[float]], channels: int) -> np.ndarray:
    if gains:
        samples = np.asarray(gains, np.float32) @ mixdown.with_channels(samples, 2)
    return mixdown.with_channels(samples, channels)


def _shares(signal: np.ndarray, error: np.ndarray, rate: int) -> Shares | None:
    """Both [channels, frames]; None where nothing sounds."""
    sums = [_spectrum(samples) for samples in (signal, error)]
    count = max(1, round(_BANDS * np.log2(rate / 2 / _LOW_HZ)))
    edges = _LOW_HZ * (rate / 2 / _LOW_HZ) ** (np.arange(count + 1) / count)
    edges = np.unique(np.ceil(edges * (_N_FFT / rate)).astype(int))
    edges[0] = 0
    total = float(sums[0].sum())
    if not total > 0:
        return None
    values = [
        float(sums[1][low:high].sum() / (sums[0][low:high].sum() + 1e-12 * total))
        for low, high in itertools.pairwise(edges)
    ]
    return Shares(edges[:-1] * (rate / _N_FFT), np.asarray(values))


def _spectrum(samples: np.ndarray) -> np.ndarray:
    """Power by bin, over all frames and channels."""
    window = np.hanning(_N_FFT).astype(np.float32)
    found = np.zeros(_N_FFT // 2 + 1)
    for side in samples:
        for start in range(0, len(side) - _N_FFT + 1, 64 * _N_FFT):
            part = side[start : start + 64 * _N_FFT]
            frames = part[: len(part) // _N_FFT * _N_FFT].reshape(-1, _N_FFT)
            found += powers(scipy.fft.rfft(window * frames, axis=1)).sum(axis=0)
    return found
