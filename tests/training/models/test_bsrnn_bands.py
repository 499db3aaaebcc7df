"""Band-split schemes: the counts and edges of BSRNN V-A, and the layout they are computed in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.models import bsrnn_bands
from training.models.bsrnn_bands import SCHEMES

COUNTS = {"v1": 22, "v2": 19, "v3": 14, "v4": 23, "v5": 28, "v6": 26, "v7": 41}
COUNTS |= {"bass": 30, "drum": 55, "other": 41}


@pytest.mark.parametrize("name", COUNTS)
def test_the_paper_s_band_counts(name: str) -> None:
    widths = bsrnn_bands.widths(SCHEMES[name], 2048, 44_100)
    assert len(widths) == COUNTS[name]
    assert sum(widths) == 1025


def test_v7_has_its_edges_at_the_stated_frequencies() -> None:
    widths = bsrnn_bands.widths(SCHEMES["v7"], 2048, 44_100)
    assert widths[:10] == (5, 5, 4, 5, 5, 4, 5, 5, 4, 5)
    assert widths[-3:] == (92, 93, 96)
    edges = bsrnn_bands.edges_hz(SCHEMES["v7"])
    assert edges[:3] == [0, 100, 200] and edges[-2:] == [18_000, 20_000]
    start = 0
    for low, high, width in zip(edges, edges[1:], widths, strict=False):
        frequencies = [bin_ * 44_100 / 2048 for bin_ in range(start, start + width)]
        assert all(low <= frequency < high for frequency in frequencies)
        start += width


def test_v7_is_computed_in_five_groups() -> None:
    groups = bsrnn_bands.groups(bsrnn_bands.widths(SCHEMES["v7"], 2048, 44_100))
    assert [len(group.widths) for group in groups] == [10, 12, 8, 8, 3]
    assert [group.widest for group in groups] == [5, 12, 24, 47, 96]


@pytest.mark.parametrize("name", COUNTS)
def test_padding_is_little(name: str) -> None:
    groups = bsrnn_bands.groups(bsrnn_bands.widths(SCHEMES[name], 2048, 44_100))
    assert sum(group.widest * len(group.widths) for group in groups) < 1.06 * 1025


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(1, 3))
def test_every_value_has_one_place(widths: list[int], values: int) -> None:
    groups = bsrnn_bands.groups(widths)
    assert [width for group in groups for width in group.widths] == widths
    places = bsrnn_bands.places(groups, values)
    assert [place for place in places if place >= 0] == list(range(values * sum(widths)))
    assert len(places) == values * sum(group.widest * len(group.widths) for group in groups)


@pytest.mark.parametrize("rate", [8000, 22_050, 48_000])
def test_bands_above_half_the_sample_rate_are_left_out(rate: int) -> None:
    widths = bsrnn_bands.widths(SCHEMES["v7"], 2048, rate)
    assert sum(widths) == 1025 and min(widths) > 0


@pytest.mark.parametrize(
    "scheme", [(), (1000,), (1000, 300), (1000, 100, 500, 100), (1000, 0), (1000, -100)]
)
def test_a_scheme_that_cannot_be_is_refused(scheme: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="bands"):
        bsrnn_bands.widths(scheme, 2048, 44_100)


def test_bands_narrower_than_a_bin_are_refused() -> None:
    with pytest.raises(ValueError, match="narrower than a bin"):
        bsrnn_bands.widths((1000, 10), 2048, 44_100)
