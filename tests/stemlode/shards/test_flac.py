"""Parts of FLAC files: the same samples as in the whole, from no more bytes than they take."""

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.samples import chunks
from stemlode.shards import flac
from stemlode.shards.members import Member, first_of, of_file, part
from training.data.windows import _Part


def _sound(seed: int, channels: int, frames: int, bits: int) -> np.ndarray:
    """Stretches of silence, of tones and of noise, at any level."""
    rng = np.random.default_rng(seed)
    found, at = np.zeros((channels, frames)), 0
    while at < frames:
        stop = min(frames, at + int(rng.integers(1, 30_000)))
        level = 10 ** rng.uniform(-4, 0)
        kind = rng.integers(3)
        if kind == 1:
            found[:, at:stop] = level * np.sin(np.arange(at, stop) * rng.uniform(0.01, 1))
        elif kind == 2:
            found[:, at:stop] = level * rng.uniform(-1, 1, (channels, stop - at))
        at = stop
    return (found * (chunks.full_scale(bits) - 1)).astype(np.int16 if bits == 16 else np.int32)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 1 << 32),
    st.sampled_from([8000, 22_050, 44_100, 48_000, 96_000]),
    st.sampled_from([(1, 16), (2, 16), (2, 24)]),
    st.integers(1, 130_000),
    st.data(),
)
def test_a_part_is_that_part_of_the_whole(
    seed: int, rate: int, form: tuple[int, int], frames: int, data: st.DataObject
) -> None:
    channels, bits = form
    sound = _sound(seed, channels, frames, bits)
    whole = chunks.flac(sound, rate, bits)
    member = of_file(whole, 7)
    step, points = member["seek_step"], member["seek_points"]
    assert step and points and sorted(set(points)) == points
    # A piece may ask for more than there is, as one does whose chunk ends before it.
    start = data.draw(st.integers(0, frames - 1))
    count = data.draw(st.integers(1, 2 * frames))
    held = _Bytes(b"garbage" + whole + b"and what follows it")
    row = {"duration_s": frames / rate, "sample_rate": rate, "channels": channels}
    found = held.part(member, row, start, count)
    first, count = first_of(member, start), min(count, frames - start)
    with _Part(io.BytesIO(found)) as opened:
        assert (opened.samplerate, opened.frames) == (rate, frames)
        read = opened.read(start - first + count, "int32", True)[start - first :]
    assert np.array_equal(read.T >> (32 - bits), sound[:, start : start + count])
    (place,) = held.asked  # one request
    assert place[0] >= 7 and place[0] + place[1] <= 7 + len(whole)
    more = (start - first) + -(start + count) % step
    assert (first % step == 0 and more < 2 * step) or len(points) == 1


class _Bytes:
    """A shard in memory that counts what is asked of it."""

    def __init__(self, data: bytes) -> None:
        self.data, self.asked = data, list[tuple[int, int]]()

    def part(self, member: Member, row: dict, start: int, count: int) -> bytes:
        def read_range(_: str, at: int, size: int) -> bytes:
            self.asked.append((at, size))
            return self.data[at : at + size]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("stemlode.files.read_range", read_range)
            return part("shard.tar", member, row, start, count)


def test_what_is_no_flac_of_equal_blocks_has_no_seek_points() -> None:
    whole = chunks.flac(_sound(1, 2, 100_000, 16), 44_100)
    points = flac.seek_points(whole)
    assert points is not None and len(points[1]) > 3
    for other in (b"", b"fLaC", whole[:30], b"RIFF" + whole[4:], whole[: points[1][0]]):
        assert flac.seek_points(other) is None
    assert flac.seek_points(whole[: points[1][2]]) is None  # it breaks off
    file = io.BytesIO()
    soundfile.write(file, np.zeros(1000), 8000, format="WAV")
    assert flac.seek_points(file.getvalue()) is None


def test_frames_of_another_place_are_none() -> None:
    whole = chunks.flac(_sound(2, 2, 100_000, 16), 44_100)
    step, points = flac.seek_points(whole) or (0, [])
    assert flac.as_file(whole[points[2] :], 2 * step, 100_000, 44_100, 2)
    for wrong in (whole[points[1] :], whole[points[2] + 1 :], whole, bytes(100), b""):
        with pytest.raises(ValueError, match="frame"):
            flac.as_file(wrong, 2 * step, 100_000, 44_100, 2)
