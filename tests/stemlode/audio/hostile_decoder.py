"""A decoding process that comes to grief on files that are named after how."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stemlode import audio
from stemlode.audio import decoders, decoding_process, reading

COMMAND = (sys.executable, "-m", "tests.stemlode.audio.hostile_decoder")
really_opened, really_blocks = decoders.opened, reading.blocks_of
uris: list[str] = []  # of the file that is open


@contextlib.contextmanager
def opened(uri: str) -> Iterator[decoders.Source]:
    uris[:] = [uri]
    with really_opened(uri) as source:
        yield source


def blocks_of(source: decoders.Source, sample_rate: int, *how: Any) -> Iterator[audio.Audio]:
    found = really_blocks(source, sample_rate, *how)
    (uri,) = uris
    name = Path(uri).stem
    if name.startswith("late"):
        yield next(found)
        time.sleep(1.1 * decoding_process._TOLD_EVERY_S)
        yield next(found)
    if name.endswith("hangs"):
        time.sleep(3600)
    if name.endswith("segfaults"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if name.endswith("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.endswith("hungry"):
        np.ones(2 * decoding_process.MEMORY_BYTES, np.uint8)
    if name.endswith("buggy"):
        raise RuntimeError("a bug")
    if name.endswith("once"):
        mark = Path(f"{uri}.tried")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if name.endswith("endless"):
        while True:
            yield audio.Audio(np.zeros((1, 1 << 20), np.float32), sample_rate)
    yield from found


if __name__ == "__main__":
    decoders.opened, reading.blocks_of = opened, blocks_of
    decoding_process.LONGEST_S = 3600
    decoding_process._TOLD_EVERY_S = 0.2
    decoding_process.serve(int(sys.argv[1]))
