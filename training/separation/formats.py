"""What stems are written as: 32-bit float WAV, which is exact, or what players like better.

The exact one is written from front to back (`wav`). For all others the stems are held in temporary
files until their peak is known: integers and codecs have no room above full scale.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import soundfile

from stemlode import audio, files
from stemlode.runs import BadUsage
from training.separation import streams, tags
from training.separation.tags import Tags

FLOAT, RESCALE, CLAMP = "float", "rescale", "clamp"
BITS = ("16", "24", FLOAT)
CLIPS = (RESCALE, CLAMP)
_RATES = (44_100, 48_000, 32_000, 22_050, 24_000, 16_000)  # Hz; others become the first one
FFMPEG = {  # encoder, container, the rates that it takes, kbit/s of two channels
    "mp3": ("libmp3lame", "mp3", _RATES, 320),
    "opus": ("libopus", "ogg", (48_000,), 192),
    "m4a": ("aac", "ipod", (*_RATES, 96_000), 256),
}
COVERED = {"mp3": "mp3", "m4a": "mp4"}  # that hold a picture as a stream, and containers for it
LOSSY = (*FFMPEG, "ogg")
NAMES = ("wav", "flac", *LOSSY)
BITRATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)  # kbit/s of MP3
_BLOCK = 4096  # frames
SHORT_S = 0.1  # by which a codec's header may be off
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Form:
    """How stems are written."""

    name: str = "wav"
    bits: str = FLOAT  # of wav and flac
    clip: str = RESCALE  # what becomes of stems above full scale, where the form has no room
    kbit: int | None = None  # of mp3

    @classmethod
    def of(cls, name: str, bits: str | None, clip: str, kbit: int | None) -> "Form":
        """From the command line; BadUsage where values do not go together."""
        if bits and name in LOSSY:
            raise BadUsage(f"--bits {bits}: {name} has none; it is for wav and flac")
        if name == "flac" and bits == FLOAT:
            raise BadUsage("--bits float: FLAC holds integers; take 16 or 24")
        if kbit is not None and name != "mp3":
            raise BadUsage(f"--mp3-bitrate: {name} is no mp3")
        if kbit is not None and kbit not in BITRATES:
            known = ", ".join(map(str, BITRATES))
            raise BadUsage(f"--mp3-bitrate {kbit}: MP3 has {known} kbit/s")
        if name == "mp3":
            return cls(name, FLOAT, clip, kbit or FFMPEG["mp3"][3])
        return cls(name, bits or ("24" if name == "flac" else FLOAT), clip)

    @property
    def exact(self) -> bool:
        """Whether samples are written as they are."""
        return (self.name, self.bits) == ("wav", FLOAT)

    def facts(self) -> dict[str, Any]:
        """For a run's plan."""
        return {"format": self.name, "bits": self.bits, "clip": self.clip, "mp3_kbit": self.kbit}


class Held:
    """A stem until it can be written: float32 frames in a temporary file, and their peak."""

    def __init__(self, file: IO[bytes], channels: int, sample_rate: int) -> None:
        self.file, self.channels, self.sample_rate = file, channels, sample_rate
        self.frames, self.peak = 0, 0.0

    def add(self, block: np.ndarray) -> None:
        """Further samples, [channels, frames]."""
        with streams.scratch():
            self.file.write(np.ascontiguousarray(block.T, "<f4").tobytes())
        self.frames += block.shape[1]
        self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))

    def blocks(self, gain: float) -> Iterator[np.ndarray]:
        """All samples in turn, [frames, channels], times a gain, none beyond full scale."""
        self.file.seek(0)
        while data := self.file.read(_BLOCK * 4 * self.channels):
            block = np.frombuffer(data, "<f4").reshape(-1, self.channels)
            yield np.clip(block * np.float32(gain), -1, 1)

    def write(self, path: str, form: Form, gain: float, said: Tags) -> None:
        """As a file that appears whole or not at all, with what is said of its song. Raises OSError
        where a disk does not take it, or an encoder the samples, or not all of them."""
        import av  # noqa: PLC0415 - not needed for what is exact

        with tempfile.NamedTemporaryFile(suffix=f".{form.name}") as made:
            kinds = {"ogg": self._vorbis} | dict.fromkeys(FFMPEG, self._by_ffmpeg)
            with streams.scratch():
                try:
                    kinds.get(form.name, self._integers)(made.name, form, gain, said)
                except (av.FFmpegError, soundfile.LibsndfileError) as error:
                    raise OSError(f"{form.name}: {error}") from error
                tagged = self._tagged(made.name, form, said)
            self._check(made.name)
            with tagged, files.atomic_write(path) as sink:
                while piece := tagged.read(_PIECE_BYTES):
                    sink.write(piece)

    def _tagged(self, made: str, form: Form, said: Tags) -> IO[bytes]:
        """A file that is made, with what libsndfile could not say of its song, and without its
        number by chance (Ogg). OSError where a disk does not take it."""
        import av  # noqa: PLC0415 - as above

        if form.name == "ogg" or (form.name == "flac" and said != Tags()):
            with tempfile.NamedTemporaryFile(suffix=f".{form.name}") as copied:
                try:
                    tags.add(made, copied.name, form.name, said)
                    if soundfile.info(copied.name).frames == self.frames:
                        return Path(copied.name).open("rb")
                except av.FFmpegError as error:
                    raise OSError(f"{form.name}: {error}") from error
        return Path(made).open("rb")  # as it is, if it is too short to be copied (Vorbis)

    def _check(self, path: str) -> None:
        """OSError where an encoder took everything and wrote less."""
        found, wanted = audio.probe(path).duration_s, self.frames / self.sample_rate
        if found < wanted - SHORT_S:
            raise OSError(f"{found:.3f} s of {wanted:.3f} s were written")

    def _integers(self, path: str, form: Form, gain: float, said: Tags) -> None:
        full, unused = 2 ** (int(form.bits) - 1), 32 - int(form.bits)
        kind = "FLAC" if form.name == "flac" else "RF64" if self._is_large(form) else "WAV"
        with soundfile.SoundFile(
            path, "w", self.sample_rate, self.channels, f"PCM_{form.bits}", format=kind
        ) as sink:
            _say(sink, said)
            for block in self.blocks(gain):
                whole = np.clip(np.round(block.astype(np.float64) * full), -full, full - 1)
                sink.write(whole.astype(np.int32) << unused)

    def _is_large(self, form: Form) -> bool:
        return self.frames * self.channels * int(form.bits) // 8 > 2**32 - 2**16

    def _vorbis(self, path: str, _: Form, gain: float, said: Tags) -> None:
        with soundfile.SoundFile(
            path, "w", self.sample_rate, self.channels, "VORBIS", format="OGG"
        ) as sink:
            _say(sink, said)
            for block in self.blocks(gain):
                sink.write(block)

    def _by_ffmpeg(self, path: str, form: Form, gain: float, said: Tags) -> None:
        import av  # noqa: PLC0415 - as above

        encoder, container, rates, kbit = FFMPEG[form.name]
        shows = said.cover is not None and form.name in COVERED
        container = COVERED[form.name] if shows else container
        rate = self.sample_rate if self.sample_rate in rates else rates[0]
        layout = "mono" if self.channels == 1 else "stereo"
        with av.open(path, "w", format=container, container_options=tags.SAME_BYTES) as sink:
            stream = sink.add_stream(encoder, rate=rate, layout=layout)
            assert isinstance(stream, av.AudioStream)
            stream.bit_rate = 1000 * (form.kbit or kbit) // (1 if self.channels > 1 else 2)
            to_stream = av.AudioResampler(
                stream.format, layout, rate, frame_size=stream.codec_context.frame_size or None
            )
            sink.metadata.update(said.of_ffmpeg(form.name))
            if shows and said.cover:
                sink.mux(tags.add_cover(sink, said.cover))
            at = 0
            for block in self.blocks(gain):
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block.T), "fltp", layout)
                frame.sample_rate, frame.pts = self.sample_rate, at
                at += len(block)
                for ready in to_stream.resample(frame):
                    sink.mux(stream.encode(ready))
            for ready in to_stream.resample(None):
                sink.mux(stream.encode(ready))
            sink.mux(stream.encode(None))


def _say(sink: soundfile.SoundFile, said: Tags) -> None:
    for name, value in said.of_sndfile().items():
        setattr(sink, name, value)


def gain_of(stems: list[Held], form: Form) -> float:
    """By what all stems of a song are multiplied, so that they still sum to it and none clips."""
    peak = max((stem.peak for stem in stems), default=0.0)
    return 1 / peak if form.clip == RESCALE and peak > 1 else 1.0
