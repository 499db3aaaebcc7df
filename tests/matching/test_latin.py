"""latinise() is unidecode, minus its warnings, for strings and for Arrow arrays."""

import warnings

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unidecode import unidecode

from matching.latin import latinise, latinise_ampersands_batch, latinise_batch

SURROGATES = range(0xD800, 0xE000)


def test_every_code_point_is_as_unidecode_says() -> None:
    code_points = [*range(0x30000), *range(0x30000, 0x110000, 61)]  # it knows none above 0x1f67b
    everything = [chr(c) for c in code_points if c not in SURROGATES]
    expected = [unidecode(character) for character in everything]
    assert [latinise(character) for character in everything] == expected
    assert latinise_batch(pa.array(everything)).to_pylist() == expected
    assert "".join(expected).isascii()
    assert sum(map(bool, expected)) > 40_000


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ue000", "\uf8ff", "\U000f0000"])
def test_what_has_no_letters_vanishes_in_silence(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert latinise(text) == "".join(c for c in text if c.isascii())


def test_the_thesis_example() -> None:
    assert latinise("Våffeljärnet") == "Vaffeljarnet"


@given(st.lists(st.none() | st.text()), st.booleans(), st.integers(0, 3))
def test_batches_equal_single_strings(texts: list[str | None], large: bool, skipped: int) -> None:
    array = pa.array(texts, pa.large_string() if large else pa.string())[skipped:]
    wanted = [None if text is None else latinise(text) for text in texts[skipped:]]
    assert latinise_batch(array).to_pylist() == wanted
    spelled = [None if text is None else text.replace("&", "and") for text in wanted]
    assert latinise_ampersands_batch(array).to_pylist() == spelled


def test_invalid_utf_8_is_an_error_not_a_guess() -> None:
    broken = pa.array([b"caf\xe9", b"ok"]).view(pa.string())
    with pytest.raises(UnicodeDecodeError):
        latinise_batch(broken)
