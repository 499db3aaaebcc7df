"""All pairs of a run in the page: what they say stays text, and the page stays small."""

import json

from pipelines.pages.pairs import ShownPair
from pipelines.report.listing import PairListing


def pair(title: str, number: int = 0) -> ShownPair:
    return ShownPair(
        pair_id=f"{number:032x}", title=title, instrumental=title, artist=title, decision=title,
        reason=title, difference=0.25, offset_s=None, gain_db=-1.04, polarity=1, duration_s=None,
        mix_uri=None, instrumental_uri=None,
    )  # fmt: skip


def test_no_title_ends_the_element_that_holds_it() -> None:
    for title in (
        "</script><script>alert(1)</script>",
        "<!--",
        "\u2028",
        "\u202eevil",
        "]]>",
        "&lt;",
    ):
        listed = PairListing([pair(title)], 0, {f"{0:032x}": "pair-1"})
        assert not set(listed.json) & set("<>&\u2028\u2029\u202e")
        (row,) = json.loads(listed.json)
        assert row[2:5] == [0.25, None, -1.0] and row[-1] == "pair-1"
        if title.isprintable():
            assert row[0] == title
    assert listed.heard == 1


def test_ten_thousand_pairs_take_two_megabytes() -> None:
    rows = [pair("A title of usual length (Remastered 2011)", i) for i in range(10_000)]
    assert len(PairListing(rows, 0).json) < 3_500_000
