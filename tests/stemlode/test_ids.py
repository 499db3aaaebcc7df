"""Identifiers: the same in every engine, different for different parts."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from stemlode.ids import digest


def test_digest_is_sha256_over_length_prefixed_utf8() -> None:
    assert digest("ab", "Øre€") == hashlib.sha256("2:ab7:Øre€".encode()).hexdigest()[:32]


@given(st.lists(st.text()), st.lists(st.text()))
def test_different_parts_differ(left: list[str], right: list[str]) -> None:
    def as_bytes(parts: list[str]) -> list[bytes]:
        return [part.encode("utf-8", "replace") for part in parts]

    assert (digest(*left) == digest(*right)) == (as_bytes(left) == as_bytes(right))


def test_a_lone_surrogate_does_no_harm() -> None:
    assert len(digest("\ud800")) == 32
