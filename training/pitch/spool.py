"""A song that is heard whole and yet takes no memory: mono signals in nameless files."""

import tempfile
from typing import Any

import numpy as np
import soxr

from stemlode.audio.reading import QUALITY


class Spool:
    """A signal that comes in blocks, at another rate, in a temporary file."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        self._file: Any = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the last reference)
        self._samples = 0
        self._stream = None
        if from_rate != to_rate:
            self._stream = soxr.ResampleStream(
                from_rate, to_rate, 1, dtype="float32", quality=QUALITY
            )

    def add(self, block: np.ndarray, *, last: bool = False) -> None:
        """The next samples, float32 [samples]."""
        if self._stream is not None:
            block = self._stream.resample_chunk(block, last=last)
        self._file.write(np.ascontiguousarray(block, np.float32).data)
        self._samples += len(block)

    def signal(self) -> np.ndarray:
        """All of it, once the last block was added: float32 [samples], mapped from the file."""
        self.add(np.zeros(0, np.float32), last=True)
        self._file.flush()
        if not self._samples:
            return np.zeros(0, np.float32)
        return np.memmap(self._file, np.float32, "r", shape=(self._samples,))
