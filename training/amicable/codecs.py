"""Real encoding: what a lossy codec makes of a signal, without its delay.

FFmpeg encodes, and `stemlode.audio` decodes. A codec's rate may be another than the signal's (Opus
knows 48 kHz alone). Its delay is measured and removed, and so is what it adds at the ends.
"""

import re
import tempfile
from dataclasses import dataclass

import av
import numpy as np

from stemlode import audio, runs
from stemlode.audio import AudioError
from stemlode.runs import BadUsage, Failed

KINDS = {  # encoder, container, and the rates that it takes (None: any)
    "mp3": ("libmp3lame", "mp3", (44_100, 48_000, 32_000, 22_050, 24_000, 16_000)),
    "opus": ("libopus", "ogg", (48_000,)),
    "aac": ("aac", "adts", (44_100, 48_000, 32_000, 22_050, 24_000, 16_000)),
}
FEWEST_KBIT, MOST_KBIT = 16, 512
LATEST_S = 0.25  # that a codec is looked for to be late by, or early
BLOCK = 1024  # samples handed to an encoder at a time


@dataclass(frozen=True)
class Codec:
    """A codec at a bit rate, such as mp3:128."""

    kind: str
    kbit: int

    @classmethod
    def named(cls, text: str) -> "Codec":
        """From `mp3:128`; BadUsage where it is none."""
        match = re.fullmatch(r"([a-z0-9]+):(\d{1,4})", text)
        if not match or match[1] not in KINDS:
            raise BadUsage(f"--codec {text}: not {', '.join(f'{kind}:KBIT' for kind in KINDS)}")
        if not FEWEST_KBIT <= int(match[2]) <= MOST_KBIT:
            raise BadUsage(f"--codec {text}: from {FEWEST_KBIT} to {MOST_KBIT} kbit/s")
        return cls(match[1], int(match[2]))

    def __str__(self) -> str:
        return f"{self.kind}:{self.kbit}"

    def decoded(self, samples: np.ndarray, sample_rate: int) -> tuple[np.ndarray, float]:
        """What is left of [channels, samples], float32 of that shape, and by how many ms the codec
        was late. Failed where it cannot be encoded."""
        rates = KINDS[self.kind][2]
        own = sample_rate if sample_rate in rates else rates[0]
        given = audio.resample(samples, sample_rate, own)
        with tempfile.NamedTemporaryFile(suffix=f".{self.kind}") as file:
            try:
                self._encode(given, own, file.name)
                heard = audio.read(file.name)
            except (av.FFmpegError, ValueError, AudioError) as error:
                raise Failed(f"--codec {self}: {runs.reason(error)}") from error
        found = heard.samples[: len(given)]
        found = np.broadcast_to(found, (len(given), found.shape[1]))
        found = audio.resample(found, heard.sample_rate, sample_rate)
        late = delay(samples, found, round(LATEST_S * sample_rate))
        return _shifted(found, late, samples.shape[1]), 1000 * late / sample_rate

    def added(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """What the codec adds to a signal."""
        return self.decoded(samples, sample_rate)[0] - samples

    def _encode(self, samples: np.ndarray, sample_rate: int, path: str) -> None:
        encoder, container, _ = KINDS[self.kind]
        layout = "mono" if len(samples) == 1 else "stereo"
        with av.open(path, "w", format=container) as sink:
            stream = sink.add_stream(encoder, rate=sample_rate, layout=layout)
            assert isinstance(stream, av.AudioStream)
            stream.bit_rate = 1000 * self.kbit
            clipped = np.ascontiguousarray(np.clip(samples, -1, 1), np.float32)
            resampler = av.AudioResampler(stream.format, layout, sample_rate)
            for first in range(0, clipped.shape[1], BLOCK):
                block = np.ascontiguousarray(clipped[:, first : first + BLOCK])
                frame = av.AudioFrame.from_ndarray(block, "fltp", layout)
                frame.sample_rate, frame.pts = sample_rate, first
                for ready in resampler.resample(frame):
                    sink.mux(stream.encode(ready))
            for ready in resampler.resample(None):
                sink.mux(stream.encode(ready))
            sink.mux(stream.encode(None))


def delay(signal: np.ndarray, later: np.ndarray, most: int) -> int:
    """By how many samples `later` [channels, …] lags behind `signal`, at most so many either way:
    where they correlate best."""
    size = 1 << (signal.shape[1] + later.shape[1]).bit_length()
    spectra = [np.fft.rfft(one.mean(0), size) for one in (signal, later)]
    if not np.any(spectra[0]):
        return 0
    lags = np.fft.irfft(spectra[1] * spectra[0].conj(), size)
    near = np.concatenate([lags[-most:], lags[: most + 1]])
    return int(np.argmax(near)) - most


def _shifted(samples: np.ndarray, by: int, length: int) -> np.ndarray:
    """[channels, length] of a signal from `by` on, with zeros where it is not."""
    part = samples[:, max(0, by) : max(0, by + length)]
    part = np.pad(part, ((0, 0), (max(0, -by), 0)))[:, :length]
    return np.pad(part, ((0, 0), (0, length - part.shape[1])))
