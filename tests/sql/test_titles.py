"""The SQL's titles, markers and artist ids are those of `matching.titles`, for any Unicode."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from matching import extended
from matching.latin import CODE_POINTS, latinise, replacement
from matching.rules import EXTENDED, THESIS, Rule
from matching.titles import DIGITS, MARKERS, artist_key, fuzzy, fuzzy_batch, marker, marker_batch
from sql import match, on_duckdb
from sql.match import FLOAT, TEXT, Source
from stemlode.ids import digest

KINDS = {**dict.fromkeys(("track_id", "artist", "title", "album"), TEXT), "duration_s": FLOAT}
COLUMNS = {name: name for name in KINDS}
MARKED = "marked"  # a track without which its artist would be passed over


def in_sql(
    result: str,
    titles: Sequence[str],
    artists: Sequence[str] | None = None,
    albums: Sequence[str | None] | None = None,
    rule: Rule = THESIS,
) -> pa.Table:
    """What one of the statement's relations says of some titles, in their order."""
    nothing = [None] * len(titles)
    tracks = pa.table(
        {
            "track_id": [*(f"{number:08}" for number in range(len(titles))), MARKED],
            "artist": pa.array([*(artists or ["A"] * len(titles)), "A"], pa.string()),
            "title": pa.array([*titles, "x (Karaoke)"], pa.string()),
            "album": pa.array([*(albums or nothing), None], pa.string()),
            "duration_s": [60.0] * (len(titles) + 1),
        }
    )
    with on_duckdb.connect(threads=2) as connection:
        connection.register("catalogue", tracks)
        statement = match.statement(Source("catalogue", COLUMNS, KINDS), rule, result=result)
        found = on_duckdb.run(connection, statement, match.parameters(rule, 1))
    found = found.filter(pc.not_equal(found["track_id"], MARKED))
    assert found.num_rows == len(titles)
    return found.sort_by("track_id")


def keys_and_markers(titles: Sequence[str]) -> list[tuple[str, str | None]]:
    found = in_sql("SELECT track_id, fuzzy_title, marker FROM tracks", titles)
    return list(zip(*(found[name].to_pylist() for name in ("fuzzy_title", "marker")), strict=True))


# Whole words of the rule between any other text, spaces and scripts.
PIECES = [
    *DIGITS,
    *MARKERS,
    *("the", "The", "a", "x1", "_", " ", "  ", "\t", "\n", "\v", "\f", "\r", "\x1c", "\x00"),
    *("(", "[", " - ", "-", "&", "İ", "ß", "Ø", "é", "e\u0301", "\u2028", "\u00a0", "\x85"),
    *("ー", "가", "🎵", "\U0010ffff", "\ufeff", "\u202e"),
    *("'", '"', "`", "\\", ";", "--", "%", "{{title}}", "\\b"),
]
texts = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=12).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
)


@settings(max_examples=20, deadline=None)
@given(st.lists(texts, min_size=1, max_size=60))
@example(["  - a", "a - ", " - \n", "\v\v(x", "one one_one  one\n", "the - x", "the_x", "&&"])
@example(["'; DROP TABLE tracks; --", "\\", "a\\' OR 1=1", "$latin @latin ?", "{{catalogue}}"])
def test_keys_and_markers_are_those_of_python(titles: list[str]) -> None:
    assert keys_and_markers(titles) == [(fuzzy(title), marker(title)) for title in titles]


VERSION = "SELECT track_id, title_key, marker, descriptors, fuzzy_title, other_titles FROM tracks"


def versions(titles: Sequence[str], albums: Sequence[str | None] | None = None) -> pa.Table:
    """What the extended rule's SQL says, as `extended.parse_batch` has it."""
    found = in_sql(VERSION, titles, albums=albums, rule=EXTENDED).drop(["track_id"])
    found = found.rename_columns(extended.COLUMNS).combine_chunks()
    others = [  # the SQL lists a title's own among them, which makes no further link
        extended.BETWEEN.join(sorted({*others.split(extended.BETWEEN)} - {own})) or None
        if others and own
        else None
        for own, others in zip(
            found["fuzzy_title"].to_pylist(), found["others"].to_pylist(), strict=True
        )
    ]
    place = found.schema.get_field_index("others")
    return found.set_column(place, "others", pa.array(others, pa.string()))


def as_row(version: extended.Version) -> dict[str, str | None]:
    others = extended.BETWEEN.join(version.others) or None
    return {**version._asdict(), "fuzzy_title": version.fuzzy_title, "others": others}


# What the extended rule looks for, in titles that make it find something.
version_pieces = st.lists(
    st.sampled_from([
        *PIECES, *("Song", "Live", "remix", "(Live)", "[Inst.]", "Instr.", "off vocal", "カラオケ"),
        *("伴奏", "반주", "MR", "минус", "Pt. 2", "part two", "(Part II)", "feat. X", "w/o vocals"),
        *(")", "]", "~", " | ", "Remastered 2011", "radio edit", "version", "with strings", "2"),
        *("달라 (Dalla)", "Love (사랑)", "für", "Goin'", "'n'", "w/ X", "?!", "❤", "English Ver."),
        *("RAMI Remix (Inst.)", "Instrumental - ", "with backing vocals", "2011", "_inst", "무 MR"),
        *("in the style of Y", "(vox)", "en vivo", "TVサイズ", "日本語版", "演奏版", "a ", ", the"),
        *("RAMI Remix", "a cappella", "TV track", "minus one", "Karaoke Version", "#1", "(from Y)"),
    ]),
    min_size=1,
    max_size=9,
).map(" ".join)  # fmt: skip


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(version_pieces, texts),
            st.sampled_from([None, "Best Of", "Songs (Instrumentals)", "X: Karaoke Édition"]),
        ),
        min_size=1,
        max_size=60,
    )
)
@example([("Instrumental", "Instrumental"), ("Karaoke Nights", None), ("ßong (Inst.)", "é")])
@example([(" N ", None), (" an hour", None), ("an  hour", None), ("hour, an ", None)])
def test_versions_are_those_of_python(rows: list[tuple[str, str | None]]) -> None:
    found = versions(*zip(*rows, strict=True)).to_pylist()
    assert found == [as_row(extended.parse(*row)) for row in rows]


@settings(max_examples=10, deadline=None)
@given(st.lists(texts, min_size=1, max_size=40))
@example(["!!!", " !!! ", "The The", "the", "AC/DC", "Simon & Garfunkel", "椎名林檎", "\u200b"])
def test_artist_ids_are_those_of_python(artists: list[str]) -> None:
    named = [name for name in artists if name.strip(" \t\n\v\f\r")] or ["A"]
    found = in_sql("SELECT track_id, artist_id FROM once", ["t"] * len(named), named)
    assert found["artist_id"].to_pylist() == [digest(artist_key(name)) for name in named]


def lowercase(titles: Sequence[str]) -> list[str]:
    return in_sql("SELECT track_id, text FROM titled", titles)["text"].to_pylist()


def test_every_code_point_that_unidecode_maps() -> None:
    codes = [code for code in range(1, match.LATIN_END) if replacement(code)]
    titles = [f"a{chr(code)}b" for code in codes]
    assert len(titles) > 41_000
    assert lowercase(titles) == [latinise(title).lower() for title in titles]


@pytest.mark.slow
def test_every_code_point_that_there_is() -> None:
    codes = [code for code in range(CODE_POINTS) if not 0xD800 <= code <= 0xDFFF]
    assert lowercase([f"{chr(code)}z" for code in codes]) == [
        latinise(f"{chr(code)}z").lower() for code in codes
    ]


def test_a_megabyte_is_a_title_as_well() -> None:
    titles = ["é" * 500_000 + " (Instrumental)", "one " * 250_000]
    assert keys_and_markers(titles) == [(fuzzy(title), marker(title)) for title in titles]


@pytest.mark.parametrize("name", ["discographies", "hiphop_titles", "playlists"])
def test_every_real_title_and_artist(name: str, test_data: Path) -> None:
    table = pq.read_table(test_data / "catalogs" / f"{name}.parquet", columns=["title", "artist"])
    for column in ("title", "artist"):
        texts = table[column].filter(pc.not_equal(table[column], "")).unique()
        found = in_sql("SELECT track_id, fuzzy_title, marker FROM tracks", texts.to_pylist())
        assert found["fuzzy_title"].combine_chunks().equals(fuzzy_batch(texts))
        assert found["marker"].combine_chunks().equals(marker_batch(texts))


@pytest.mark.parametrize("name", ["discographies", "hiphop_titles", "playlists"])
def test_every_real_version(name: str, test_data: Path) -> None:
    table = pq.read_table(test_data / "catalogs" / f"{name}.parquet")
    if "album" not in table.schema.names:
        table = table.append_column("album", pa.nulls(len(table), pa.string()))
    named = table.filter(pc.not_equal(table["title"], ""))
    once = named.group_by(["title", "album"]).aggregate([])
    found = versions(once["title"].to_pylist(), once["album"].to_pylist())
    assert found.equals(extended.parse_batch(once["title"], once["album"]).combine_chunks())
    assert 0 < found["marker"].null_count < len(found)
