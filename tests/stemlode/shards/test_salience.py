"""Salience on disk: the grid is the song's, whatever chunks it is cut into."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemlode.shards import salience
from stemlode.shards.salience import Columns


@given(
    rate=st.sampled_from([8000, 11_025, 16_000, 22_050, 44_100, 48_000]),
    chunk=st.integers(300, 60_000),
    chunks=st.integers(1, 6),
    first=st.integers(0, 500_000),
)
def test_consecutive_chunks_hold_every_frame_once(
    rate: int, chunk: int, chunks: int, first: int
) -> None:
    starts = [(first + n * chunk) / rate for n in range(chunks)]
    found = [Columns.of(start, chunk / rate) for start in starts]
    frames = [one.first_frame + n for one in found for n in range(one.frames)]
    assert frames == list(range(frames[0], frames[0] + len(frames))) if frames else True
    for start, one in zip(starts, found, strict=True):
        assert 0 <= one.first_sample < salience.HOP_LENGTH
        in_song = start * salience.SAMPLE_RATE + one.first_sample
        assert abs(in_song - one.first_frame * salience.HOP_LENGTH) <= 0.5


def test_twelve_seconds_are_no_whole_number_of_hops() -> None:
    found = [Columns.of(12.0 * n, 12.0) for n in range(3)]
    assert [one.first_sample for one in found] == [0, 104, 208]
    assert [one.first_frame for one in found] == [0, 1034, 2068]
    assert [one.frames for one in found] == [1034, 1034, 1033]


def test_a_patch_begins_on_a_frame_s_centre() -> None:
    third = Columns.of(24.0, 12.0)
    assert third.before(0) == third.before(300) == 208
    assert third.before(464) == 464 and third.before(719) == 464
    assert [third.column(sample) for sample in (208, 464, 208 - 256)] == [0, 1, -1]
    with pytest.raises(ValueError, match="1 samples behind a frame's centre"):
        third.column(209)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.integers(0, 10**9))
def test_what_is_written_is_read_to_one_part_in_510(values: list[float], first: int) -> None:
    likelihood = np.zeros((salience.ROWS, len(values)))
    likelihood[17] = values
    columns = Columns(first, 200, len(values))
    data = salience.encoded(salience.quantised(likelihood), columns)
    assert data == salience.encoded(salience.quantised(likelihood), columns)
    held, where = salience.decoded(data)
    assert where == columns
    assert np.abs(held / salience.LEVELS - likelihood).max() <= 0.5 / salience.LEVELS + 1e-9


def test_the_threshold_lies_on_a_level() -> None:
    assert salience.quantised(np.array([salience.THRESHOLD])) / salience.LEVELS == 0.4


def test_damage_is_a_value_error() -> None:
    columns = Columns(3, 2, 4)
    whole = salience.encoded(np.ones((salience.ROWS, 4), np.uint8), columns)
    for cut in range(0, len(whole), 7):
        with pytest.raises(ValueError, match="no salience"):
            salience.decoded(whole[:cut])
    with pytest.raises(ValueError, match="not uint8"):
        salience.encoded(np.ones((salience.ROWS, 4)), columns)


def test_a_size_that_is_only_claimed_costs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(salience, "MOST_BYTES", 1 << 20)
    whole = salience.encoded(np.ones((salience.ROWS, 4), np.uint8), Columns(3, 2, 4))
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    held["salience.npy"] = held["salience.npy"].replace(
        b"(360, 4), }" + b" " * 12, b"(360, 4000000000000), }"
    )
    assert b"4000000000000" in held["salience.npy"]
    bomb = {"salience.npy": bytes(salience.MOST_BYTES + 1)}
    for files in (held, held | bomb, {}, held | {"first_frame.npy": held["salience.npy"]}):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        with pytest.raises(ValueError, match="no salience"):
            salience.decoded(buffer.getvalue())


def test_rows_are_20_cents_apart() -> None:
    frequencies = salience.frequencies()
    assert frequencies[0] == 32.7 and frequencies[60] == pytest.approx(65.4)
    assert np.allclose(salience.rows_of(frequencies), np.arange(salience.ROWS))
