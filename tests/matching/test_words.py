"""The table of words: whole, with a source for each, and the page that shows it; written titles."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from matching.extended import parse
from matching.version_words import HEADER, WORDS, Word
from tests.matching import words_page

TITLES = Path(__file__).parent / "data" / "written_titles.csv"
SOURCES = Path(__file__).resolve().parents[2] / "matching" / "word_sources.csv"
POSITIONS = {"alone", "bracket", "dashed", "bare", "anywhere", "script"}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_word_has_a_language_a_kind_a_position_and_a_source() -> None:
    assert tuple(HEADER) == Word._fields
    sources = {row["source"] for row in rows(SOURCES)}
    for row in WORDS:
        assert row.language in words_page.LANGUAGES
        assert row.kind in words_page.KINDS
        assert row.position in POSITIONS
        assert row.source in sources
        assert row.word == row.word.strip() != ""
    assert sources == {row.source for row in WORDS}
    assert len({row.language for row in WORDS}) >= 20
    repeated = Counter((row.word, row.kind, row.means) for row in WORDS)
    assert max(repeated.values()) == 1


def test_the_page_shows_the_table() -> None:
    assert words_page.PAGE.read_text(encoding="utf-8") == words_page.page(), (
        "run python -m tests.matching.words_page"
    )


@pytest.mark.parametrize(
    "row",
    [row for row in WORDS if row.kind == "marker"],
    ids=lambda row: f"{row.language}-{row.word}",
)
def test_every_marker_marks(row: Word) -> None:
    plain = row.word.replace("(", "").replace(")", "").replace("*", "")
    plain = "|".join(plain.split("|")[:1]) if "|" in plain else plain
    name = row.means.replace("-", " ")
    assert parse(f"Blue ({plain})") == ("blue", name, "", ())
    if row.position == "bare":
        assert parse(f"Blue {plain}") == ("blue", name, "", ())


@pytest.mark.parametrize(
    "row", rows(TITLES), ids=lambda row: f"{row['mixture']} & {row['instrumental']}"
)
def test_written_titles(row: dict[str, str]) -> None:
    """Titles of kinds that the catalogues lack; the durations and artists agree."""
    one, other = parse(row["mixture"]), parse(row["instrumental"])
    keys, other_keys = ({v.fuzzy_title, *v.others} - {""} for v in (one, other))
    is_pair = one.marker is None and other.marker is not None and bool(keys & other_keys)
    assert ("pair" if is_pair else "no") == row["verdict"]
    assert row["source"] in {source["source"] for source in rows(SOURCES)}
