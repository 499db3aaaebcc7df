"""Where files that were joined begin, whatever their bytes are."""

import io
import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from stemlode.audio.containers import joined
from tests.stemlode.audio.containers.traits import traits

WHOLE = [t for t in traits() if not t.error and not t.parts and len(t.data) < 60_000]
STARTS = [trait.data[:size] for trait in WHOLE for size in (4, 12, 40, 200)]


@given(st.lists(st.one_of(st.sampled_from(STARTS), st.binary(max_size=40)), max_size=8))
@example([b"RIFF\xff\xff\xff\x7eWAVE"])
@example([b"TTA1" + b"\xff" * 18])
@example([b"\x1a\x45\xdf\xa3"])
@example([b"wvpk" + bytes(28)] * 3)
def test_any_bytes_are_cut_into_parts_without_a_gap(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    found = joined.files_in(io.BytesIO(data))
    assert found[0][0] == 0 and found[-1][1] == len(data)
    assert all(first[1] == second[0] for first, second in itertools.pairwise(found))
    assert all(start < end for start, end in found) or not data


def test_a_file_alone_is_one() -> None:
    for trait in WHOLE:
        assert joined.files_in(io.BytesIO(trait.data)) == [(0, len(trait.data))], trait.name


def test_files_of_one_length_are_told_apart() -> None:
    """Their last frames agree with the header of the first."""
    flac = next(trait.data for trait in traits() if trait.name == "flac")
    for count in (2, 3, 5):
        places = [(n * len(flac), (n + 1) * len(flac)) for n in range(count)]
        assert joined.files_in(io.BytesIO(flac * count)) == places
