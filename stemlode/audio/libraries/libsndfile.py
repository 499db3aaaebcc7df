"""libsndfile: PCM in any container, which it counts exactly, and MP3 of free format."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile

from stemlode.audio.containers import mpeg, tags
from stemlode.audio.containers.info import (
    COUNTED,
    STATED,
    AudioError,
    AudioInfo,
    Block,
    check_length,
)
from stemlode.audio.containers.opening import Bytes, Guarded, Section

VERSION = soundfile.__libsndfile_version__
_UNKNOWN_FRAMES = 1 << 62  # libsndfile's count where a header leaves the length open
_COMPRESSED = ("MPEG", "VORBIS", "OPUS", "ALAC")  # FFmpeg's, in whatever container


class _Forward(soundfile.SoundFile):
    """Reads on from where it is.

    soundfile seeks after each block, to where it already is; in an MP3 whose index is fuzzy that
    lands elsewhere, and every block begins with garbage.
    """

    def seekable(self) -> bool:
        return False


class Libsndfile:
    """A file that libsndfile reads. It holds one stream."""

    streams = 1
    ended = True
    channels: tuple[str, ...] = ()  # one or two, which need no names

    def __init__(self, file: soundfile.SoundFile, times_held: float = 1.0) -> None:
        """`times_held` as in `chunks`: libsndfile takes what is there of a cut file for whole."""
        self.file = file
        rate = file.samplerate
        self.stated_s = file.frames / rate * times_held
        counted = file.format == "MP3"
        self.info = AudioInfo(
            self.stated_s,
            rate,
            file.channels,
            f"{file.format}/{file.subtype}",
            COUNTED if counted else STATED,
        )
        self._at = 0  # the next frame

    @classmethod
    def open(cls, file: Bytes, times_held: float = 1.0) -> "Libsndfile | None":
        """A file of PCM, or of another codec that FFmpeg has no count of. None where libsndfile
        does not know the format, or not its length."""
        found = _opened(file)
        if found is None:
            return None
        plain = not found.subtype.startswith(_COMPRESSED) and found.format != "FLAC"
        if plain and 0 < found.frames < _UNKNOWN_FRAMES:
            return cls(found, times_held)
        found.close()
        return None

    @classmethod
    def free_format(cls, file: Bytes) -> "Libsndfile":
        """An MP3 of free format, of which libsndfile reads no more frames than a header states: so
        it gets one that states how many there are."""
        size = file.seek(0, io.SEEK_END)
        front = mpeg.free_format_header(file)
        found = _opened(Section(file, tags.after_tags(file), size, front))
        if found is None:
            raise AudioError("not audio, or of an unknown format")
        return cls(found)

    def __enter__(self) -> "Libsndfile":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def blocks(self, block_frames: int) -> Iterator[Block]:
        """Blocks of `block_frames`, the last shorter; each is valid until the next is asked for."""
        rate = self.info.sample_rate
        buffer = np.empty((block_frames, self.file.channels), np.float32)
        while True:
            try:
                block = self.file.read(out=buffer)
            except soundfile.LibsndfileError as error:
                check_length(self._at / rate, self.stated_s)
                why = f"damaged: {error.error_string or 'does not decode'}"
                raise AudioError(why, "damaged") from error
            self._at += len(block)
            yield Block(block.T, rate, begins_s=(self._at - len(block)) / rate)
            if len(block) < block_frames:
                break
        check_length(self._at / rate, self.stated_s)

    def seek(self, start_s: float) -> bool:
        """Let the next blocks begin there; False where that cannot be found."""
        if self.info.duration_source != STATED:
            return False
        self._at = min(self.file.frames, round(start_s * self.info.sample_rate))
        self.file.seek(self._at)
        return True

    def count_s(self) -> float:
        """The length in seconds."""
        return self.info.duration_s


def _opened(file: Bytes) -> _Forward | None:
    """None where libsndfile does not know the format.

    A descriptor hides the file's name: libsndfile would take a text named .mp3 for MP3.
    """
    source: Any = file if isinstance(file, Guarded | Section) else file.fileno()
    try:
        return _Forward(source, closefd=False)
    except soundfile.LibsndfileError:
        return None
