"""WAV files written front to back, read by libsndfile."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemlode.audio import wav


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 13])
@pytest.mark.parametrize("frames", [0, 1, 1001])
def test_every_sample_comes_back(channels: int, frames: int) -> None:
    block = np.random.default_rng(0).standard_normal((channels, frames)).astype(np.float32) * 3
    data = wav.header(frames, channels, 48_000) + wav.samples(block)
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert (file.samplerate, file.channels, file.frames) == (48_000, channels, frames)
        assert file.subtype == "FLOAT"
        assert np.array_equal(file.read(dtype="float32", always_2d=True), block.T)


def test_sizes_that_32_bits_cannot_hold(tmp_path: Path) -> None:
    frames = 2**30  # 8 GiB of stereo, as a hole in the file
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        start = wav.header(frames, 2, 44_100)
        file.write(start)
        file.truncate(len(start) + 8 * frames)
    info = soundfile.info(path)
    assert (info.frames, info.channels, info.samplerate) == (frames, 2, 44_100)
    riff_bytes = struct.unpack("<Q", start[20:28])[0]
    assert riff_bytes == path.stat().st_size - 8


def test_the_largest_plain_header_states_the_true_size() -> None:
    frames = (2**32 - 1 - 100) // 4
    start = wav.header(frames, 1, 8000)
    assert start[:4] == b"RIFF"
    assert struct.unpack("<I", start[4:8])[0] == len(start) + 4 * frames - 8
