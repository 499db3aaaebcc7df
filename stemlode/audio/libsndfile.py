"""libsndfile: PCM in any container, which it counts exactly, and MP3 of free format."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile

from stemlode.audio.info import STATED, AudioError, AudioInfo, Block, check_length
from stemlode.audio.opening import Bytes, Guarded, Section

VERSION = soundfile.__libsndfile_version__
_UNKNOWN_FRAMES = 1 << 62  # libsndfile's count where a header leaves the length open
_UNKNOWN_BYTES = 0x7FFF_0000  # chunk sizes from here on are what streaming writers put
_COMPRESSED = ("MPEG", "VORBIS", "OPUS", "ALAC")  # FFmpeg's, in whatever container
_FREE_FORMAT_SLACK = 1 << 16  # bytes, beyond the share that a padded first frame hides


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

    def __init__(self, file: soundfile.SoundFile, *, counted: bool) -> None:
        """`counted` where its number of frames is a header's, and no estimate."""
        self.file = file
        rate, frames = file.samplerate, file.frames
        # libsndfile trusts the size of a cut WAV or AIFF over its header, and logs both
        log = re.search(r"^ *(?:data|SSND) : (\d+) \(should be (\d+)\)", file.extra_info, re.M)
        if log and int(log[1]) < _UNKNOWN_BYTES and int(log[2]) > 0:
            frames = frames * int(log[1]) // int(log[2])
        self._stated_s = frames / rate if counted else 0.0
        self._at = 0  # the next frame
        self.info = AudioInfo(
            self._stated_s or float("nan"),
            rate,
            file.channels,
            f"{file.format}/{file.subtype}",
            STATED if counted else "",
        )

    @classmethod
    def open(cls, file: Bytes) -> "Libsndfile | None":
        """None where libsndfile does not know the format, or not its length, or where FFmpeg knows
        more of it: what the channels of more than two are, and how long compressed sound is."""
        found = _opened(file)
        if found is None:
            return None
        plain = not found.subtype.startswith(_COMPRESSED) and found.format != "FLAC"
        if plain and found.channels <= 2 and 0 < found.frames < _UNKNOWN_FRAMES:
            return cls(found, counted=True)
        found.close()
        return None

    @classmethod
    def free_format(cls, file: Bytes, size: int) -> "Libsndfile":
        """An MP3 of free format. It is read no further than its estimated length, for which its
        size counts: so the size is overstated, and the estimate is always too long."""
        found = _opened(Section(file, 0, size, size // 64 + _FREE_FORMAT_SLACK))
        if found is None:
            raise AudioError("not audio, or of an unknown format")
        return cls(found, counted=False)

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
                check_length(self._at / rate, self._stated_s)
                why = f"damaged: {error.error_string or 'does not decode'}"
                raise AudioError(why, "damaged") from error
            self._at += len(block)
            yield Block(block.T, rate, begins_s=(self._at - len(block)) / rate)
            if len(block) < block_frames:
                break
        check_length(self._at / rate, self._stated_s)

    def seek(self, start_s: float) -> bool:
        """Let the next blocks begin there; False where that cannot be found."""
        if not self._stated_s:
            return False
        self._at = min(self.file.frames, round(start_s * self.info.sample_rate))
        self.file.seek(self._at)
        return True

    def count_s(self) -> float:
        """The length in seconds, by decoding all of it."""
        return sum(block.samples.shape[1] for block in self.blocks(1 << 16)) / self.info.sample_rate


def _opened(file: Bytes | Section) -> _Forward | None:
    """None where libsndfile does not know the format.

    A descriptor hides the file's name: libsndfile would take a text named .mp3 for MP3.
    """
    source: Any = file if isinstance(file, Guarded | Section) else file.fileno()
    try:
        return _Forward(source, closefd=False)
    except soundfile.LibsndfileError:
        return None
