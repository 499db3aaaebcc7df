"""The extended rule for titles: markers, descriptors and keys of titles as they really look."""

import csv
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matching import version_words
from matching.extended import (
    BETWEEN,
    COLUMNS,
    Version,
    album_marker,
    as_printed,
    parse,
    parse_batch,
)
from matching.latin import latinise
from matching.title_steps import NOT_PLAIN, SIGNS
from matching.titles import fuzzy

LABELS = Path(__file__).with_name("labels.csv")


def is_version(mixture: str, instrumental: str, *, covers: bool = False) -> bool:
    one, other = parse(mixture, covers=covers), parse(instrumental, covers=covers)
    keys, other_keys = ({version.fuzzy_title, *version.others} for version in (one, other))
    same = bool(keys & other_keys - {""})
    return same and one.marker is None and other.marker is not None


@pytest.mark.parametrize(
    ("title", "marker"),
    [
        ("Song (Instrumental)", "instrumental"),
        ("Song [İnstrumental]", "instrumental"),
        ("Song - Instrumental Version", "instrumental"),
        ("Song - Instrumental Mix", "instrumental"),
        ("Song (Instrumental Edit)", "instrumental"),
        ("Song Instrumental", "instrumental"),
        ("Song, Instrumental", "instrumental"),
        ("Song: Instrumentals", "instrumental"),
        ("Song (Inst.)", "instrumental"),
        ("Song - Inst", "instrumental"),
        ("Song Inst.", "instrumental"),
        ("Song (Instr.)", "instrumental"),
        ("Song (Instro)", "instrumental"),
        ("(Instrumental) Song", "instrumental"),
        ("Song -Instrumental-", "instrumental"),
        ("Song ~Instrumental~", "instrumental"),
        ("Song | Instrumental", "instrumental"),
        ("Song <Instrumental>", "instrumental"),
        ("Song {Instrumental}", "instrumental"),
        ("Song — Instrumental", "instrumental"),
        ("Song （Instrumental）", "instrumental"),
        ("Song (Instrumental - Bonus Track)", "instrumental"),
        ("Song (Instrumental", "instrumental"),
        ('Song - From "Film"/Instrumental Version', "instrumental"),
        ("Song (Version instrumentale)", "instrumental"),
        ("Song - Versione Strumentale", "instrumental"),
        ("Song (Versión Instrumental)", "instrumental"),
        ("Song (Versão Instrumental)", "instrumental"),
        ("Song (Enstrümantal)", "instrumental"),
        ("Song (инструментал)", "instrumental"),
        ("Song (Инструментальная версия)", "instrumental"),
        ("Song (インスト)", "instrumental"),
        ("Song 伴奏", "instrumental"),
        ("Song（伴奏版）", "instrumental"),
        ("Song [반주]", "instrumental"),
        ("Song MR 반주", "instrumental"),
        ("Song (Karaoke)", "karaoke"),
        ("Song - Karaoke Version", "karaoke"),
        ("Song Karaoke Version", "karaoke"),
        ("Song (カラオケ)", "karaoke"),
        ("Song カラオケ版", "karaoke"),
        ("Song (オリジナル・カラオケ)", "karaoke"),
        ("Song (караоке)", "karaoke"),
        ("Song (off vocal)", "off vocal"),
        ("Song (Off Vocal Ver.)", "off vocal"),
        ("Song ～off vocal～", "off vocal"),
        ("Song (w/o vocals)", "off vocal"),
        ("Song (Without Vocals)", "off vocal"),
        ("Song - No Vocals", "off vocal"),
        ("Song (Minus Lead Vocal)", "off vocal"),
        ("Song (sin voz)", "off vocal"),
        ("Song (Ohne Gesang)", "off vocal"),
        ("Song (Backing Track)", "backing track"),
        ("Song [Accompaniment Track]", "backing track"),
        ("Song (Minus One)", "minus one"),
        ("Song (минус)", "minus one"),
        ("Song (Playback)", "playback"),
        ("Song [Sing-Along]", "sing along"),
        ("Song - TV Track", "tv track"),
        ("Song (MR)", "mr"),
        ("Song - MR Ver.", "mr"),
    ],
)
def test_a_marker_is_found_and_leaves_the_title(title: str, marker: str) -> None:
    assert parse(title) == Version("song", marker, "")


@pytest.mark.parametrize(
    "title",
    [
        *("Instrumental", "[Instrumental]", "The Instrumental (feat. A Singer)", "My Instrumental"),
        *(
            "Instrumental (Live) [Remastered]",
            "Instrumental Interlude II",
            "Untitled Instrumental 1",
        ),
        *("Karaoke", "Karaoke Nights", "Karaoke (feat. A Singer)", "カラオケの夜", "Playback"),
        *("Backing Track", "Backing Track Blues", "Sing Along", "Minus", "Minus One", "Minus Nine"),
        *(
            "Mr. Brightside",
            "Mr. Right Now (feat. A Singer)",
            "Song - MS MR Remix",
            "Minus (feat. X)",
        ),
        *("ball w/o you", "Without You", "Song (Without You)", "Song - Explicit w/o A Guest"),
        *("TV in the Morning", "Song (From the TV Series)", "Follow Instructions", "Pistachio"),
        *("Introduction (instructions)", "Song (feat. The Instrumentals)", "Song - Party Dub"),
    ],
)
def test_a_title_is_not_a_marker(title: str) -> None:
    assert parse(title).marker is None


@pytest.mark.parametrize(
    ("mixture", "instrumental"),
    [
        ("Swim - RAMI Remix", "Swim (RAMI Remix) [Instrumental]"),
        ("Swim - RAMI Remix", "Swim - RAMI Remix (Instrumental)"),
        ("Swim (RAMI Remix)", "Swim - RAMI Instrumental Remix"),
        ("Swim (RAMI Remix)", "Swim (Instrumental) (RAMI Remix)"),
        ("Swim - RAMI Remix / Radio Edit", "Swim (Radio Edit) [RAMI Remix] - Instrumental"),
        ("Swim Remix", "Swim (Remix) - Instrumental"),
        ("Swim - Live", "Swim (Live) [Instrumental]"),
        ("Swim (Acoustic Version)", "Swim - Acoustic Instrumental"),
        ("Swim - Interlude", "Swim (Interlude) - Instrumental"),
        ("Swim - Extended Mix", "Swim (Extended Version) [Instrumental]"),
        ("Swim - Remastered 2011", "Swim - Instrumental; 2014 Remaster"),
        ("Swim - 2011 Remaster", "Swim (Instrumental)"),
        ("Swim", "Swim - Instrumental / Remastered"),
        ("Swim - Single Version", "Swim (Instrumental)"),
        ("Swim (Original Mix)", "Swim (Instrumental Mix)"),
        ("Swim - Vocal Mix", "Swim - Instrumental"),
        ("Swim (Explicit)", "Swim (Clean Instrumental)"),
        ("Swim (feat. A Singer)", "Swim - Instrumental"),
        ("Swim feat. A Singer", "Swim (with A Singer) [Instrumental]"),
        ("Swim - Prod. by A Maker", "Swim (Instrumental) [Produced by A Maker]"),
        ('Swim (From "A Film")', "Swim - Instrumental"),
        ("Swim (Subtitle)", "Swim - Instrumental"),
        ("The Swim", "Swim (Instrumental)"),
        ("Two & Two", "2 and 2 (Instrumental)"),
        ("Karaoke Nights", "Karaoke Nights (Instrumental)"),
        ("(I Can't Get No) Satisfaction", "(I Can't Get No) Satisfaction - Instrumental"),
        ("[Untitled]", "Untitled (Instrumental)"),
        ("Wall, Pt. 2", "Wall (Part II) [Instrumental]"),
        ("Wall part two", "Wall, Pt. 2 - Instrumental"),
        ("Wall - Part 2", "Wall pt2 Instrumental"),
        ("Wall (Part 2: The Return)", "Wall (Part Two) - Instrumental"),
        ("Катюша", "Катюша (минус)"),
        ("後來", "後來（伴奏）"),
        ("《後來》", "後來 - Instrumental"),
    ],
)
def test_versions_of_one_recording_agree(mixture: str, instrumental: str) -> None:
    assert is_version(mixture, instrumental)


@pytest.mark.parametrize(
    ("mixture", "instrumental"),
    [
        ("Swim - RAMI Remix", "Swim (Instrumental)"),
        ("Swim", "Swim (RAMI Remix) [Instrumental]"),
        ("Swim - Another Remix", "Swim - RAMI Remix Instrumental"),
        ("Swim Remix", "Swim - Instrumental"),
        ("Swim - Live", "Swim (Instrumental)"),
        ("Swim (Acoustic)", "Swim (Instrumental)"),
        ("Swim (Demo)", "Swim (Instrumental)"),
        ("Swim (A Cappella)", "Swim (Instrumental)"),
        ("Swim - Acapella", "Swim (Instrumental)"),
        ("Swim - Radio Edit", "Swim (Instrumental)"),
        ("Swim (Extended Mix)", "Swim (Instrumental)"),
        ("Swim (Taylor's Version)", "Swim (Instrumental)"),
        ("Swim (Sped Up)", "Swim (Instrumental)"),
        ("Swim", "Swim (Instrumental Demo)"),
        ("Swim", "Swim - Take 1 / Instrumental"),
        ("Swim", "Swim - Instrumental With Chorus"),
        ("Swim - 2019 Mix", "Swim - Instrumental"),
        ("Swim - With Strings", "Swim - Instrumental"),
        ("Swim (Reprise)", "Swim (Instrumental)"),
        ("Swim (Instrumental)", "Swim (Instrumental)"),
        ("Swim (Karaoke)", "Swim (Instrumental)"),
        ("Swim", "Swim"),
        ("Wall, Pt. 1", "Wall, Pt. 2 (Instrumental)"),
        ("Wall", "Wall, Pt. 2 (Instrumental)"),
        ("Song II", "Song (Instrumental)"),
        ("Swim", "Swim (Instrumental) (RAMI & Mo"),  # the remix's name is cut off
        ("🎵", "🎶 (Instrumental)"),
        (
            "Swim (In the Style of A Band) [Vocal Version]",
            "Swim (In the Style of A Band) [Karaoke]",
        ),
        ("", "(Instrumental)"),
    ],
)
def test_other_versions_do_not(mixture: str, instrumental: str) -> None:
    assert not is_version(mixture, instrumental)


@pytest.mark.parametrize(
    ("album", "marker"),
    [
        ("Kids (The Instrumentals)", "instrumental"),
        ("Kids (Instrumentals)", "instrumental"),
        ("Kids [Instrumental Version]", "instrumental"),
        ("2001 Instrumental", "instrumental"),
        ("Kids - Instrumentals", "instrumental"),
        ("Love & Hate (Instrumental)", "instrumental"),
        ("Kids (Karaoke Version)", "instrumental"),
        ("Kids: Acapellas and Instrumentals", None),
        ("Kids: Acapellas + Instrumentals", None),
        ("Kids + Instrumentals", None),
        ("Kids, Instrumentals", None),
        ("Instrumental", None),
        ("The Instrumentals of Love", None),
        ("Karaoke Nights", None),
        ("", None),
    ],
)
def test_an_album_of_instrumentals_marks_its_tracks(album: str, marker: str | None) -> None:
    assert album_marker(album) == marker
    assert parse("Song", album) == Version("song", marker, "")
    assert parse("Song (Karaoke)", album).marker == "karaoke"


PIECES = [
    *(
        "song",
        "the ",
        "The ",
        "one",
        "&",
        "feat. ",
        " ft ",
        "with ",
        "prod. ",
        "from ",
        "w/o ",
        "w/",
    ),
    *("instrumental", "Instr.", "inst.", "karaoke", "off vocal", "minus one", "MR", "tv track"),
    *("vocals", "without", "version", "mix", "remix", " rmx", " live", "acoustic", "a cappella"),
    *("remastered", "2011", "part ", "pt.", "ii", "2", "two", "radio edit", "demo", "taken"),
    *(
        " - ",
        " -",
        "- ",
        "--",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "<",
        ">",
        "~",
        "|",
        "/",
        ";",
        ":",
        ",",
    ),
    *("`", "@", "_", "'", '"', ".", " ", "  ", "\t", "\n", "\x00", "\x1f", "\x7f", "\u00a0", "·"),
    *(
        "(달라 ",
        "사랑",
        "für",
        "goin' ",
        " 'n' ",
        "w/ ",
        "f/",
        "?",
        "❤",
        "\ufe0f",
        "^",
        "=",
        "%",
        "💃",
    ),
    *("english ver.", "with backing vocals", "isolated vocals", "en vivo", "Inst", "an ", "remix "),
    *("in the style of ", "1", " MR", "_inst", "無伴奏", "演奏版", "日本語版", "u\u0308"),
    *(
        "カラオケ",
        "伴奏",
        "版",
        "반주",
        "MR 반주",
        "минус",
        "İ",
        "é",
        "（",
        "）",
        "～",
        "—",
        "🎵",
        "北",
    ),
]
title_like = st.lists(st.sampled_from(PIECES), max_size=10).map("".join)
texts = st.none() | title_like | st.text(max_size=30)


@given(rows=st.lists(st.tuples(texts, texts), max_size=8))
@example(rows=[])
@example(rows=[(None, "Kids (Instrumentals)"), ("Song", None), (None, None)])
@example(rows=[("Song\n", "Kids (Instrumental)\n"), ("Song", "Kids\n(Instrumental)")])
@example(rows=[("@the song", ""), (")the song", ""), ("_the song", ""), ("the\x00song", "")])
@example(rows=[(" N ", None), (" an hour", ""), ("an  hour", ""), ("hour, an ", "")])
@example(rows=[("((((song", ""), ("song))))", ""), ("(a(b(c(d", ""), (")(", ""), ("(;)", "")])
def test_batch_equals_scalar_for_any_unicode(rows: list[tuple[str | None, str | None]]) -> None:
    titles, albums = ([row[column] for row in rows] for column in (0, 1))
    expected = [
        dict.fromkeys(COLUMNS) if title is None else as_row(parse(title, album))
        for title, album in rows
    ]
    table = parse_batch(pa.array(titles, pa.string()), pa.array(albums, pa.string()))
    assert table.to_pylist() == expected


def as_row(version: Version) -> dict[str, str | None]:
    others = BETWEEN.join(version.others) or None
    return {**version._asdict(), "fuzzy_title": version.fuzzy_title, "others": others}


def test_covers_are_wanted_or_not() -> None:
    pair = [f"Swim (In the Style of A Band) [{kind}]" for kind in ("Vocal Version", "Karaoke")]
    assert is_version(*pair, covers=True)
    assert not is_version(*pair)
    assert parse_batch(pa.array(pair))["fuzzy_title"].to_pylist() == ["", ""]
    assert parse_batch(pa.array(pair), covers=True).to_pylist() == [
        as_row(parse(title, covers=True)) for title in pair
    ]


@given(title=title_like | st.text())
def test_parts_are_clean_for_any_unicode(title: str) -> None:
    version = parse(title)
    assert version.key == "".join(
        c for c in version.key if c in "abcdefghijklmnopqrstuvwxyz0123456789"
    )
    words = version.descriptors.split()
    assert words == sorted(set(words))
    assert version.descriptors == " ".join(words)
    assert "`" not in version.descriptors
    names = {
        name.replace("-", " ") for name, _ in version_words.MARKERS + version_words.LONE_MARKERS
    }
    assert version.marker is None or version.marker in names


PLAIN_WORDS = ["blue", "moon", "Été", "river", "дом", "seven", "love's"]


@given(
    words=st.lists(st.sampled_from(PLAIN_WORDS), min_size=1, max_size=4),
    version=st.sampled_from(["", " (Live)", " - RAMI Remix", " [Acoustic]", " (Radio Edit)"]),
    marker=st.sampled_from([" (Instrumental)", " - Inst.", " [Karaoke Version]", " (off vocal)"]),
    guest=st.sampled_from(["", " (feat. A Singer)", " [with A Singer]"]),
    swap=st.booleans(),
)
def test_a_marker_takes_only_itself_away(
    words: list[str], version: str, marker: str, guest: str, swap: bool
) -> None:
    title = " ".join(words)
    mixture = parse(title + guest + version)
    instrumental = parse(title + (marker + version if swap else version + marker))
    assert mixture.key == instrumental.key == fuzzy(title)
    assert mixture.descriptors == instrumental.descriptors
    assert (mixture.marker is None, instrumental.marker is None) == (True, False)


LONG = 200_000  # a step whose work grows with the square would take minutes


@pytest.mark.parametrize(
    "piece", ["(", ")", "~", ",", " -", "- ", ";", "a ", "a:", " part ", " 2001 "]
)
def test_long_titles_are_read_to_the_end(piece: str) -> None:
    title = "song" + piece * (LONG // len(piece)) + "end"
    version = parse(title)
    assert version.fuzzy_title.startswith("song")
    assert version.fuzzy_title.endswith("end")
    assert parse_batch(pa.array([title])).to_pylist() == [as_row(version)]


@pytest.mark.slow
def test_batch_equals_scalar_on_real_catalogues(test_data: Path) -> None:
    for path in sorted((test_data / "catalogs").glob("*.parquet")):
        real = pq.read_table(path, columns=["title", "album"])
        rows = zip(real["title"].to_pylist(), real["album"].to_pylist(), strict=True)
        expected = [as_row(parse(title, album)) for title, album in rows]
        assert parse_batch(real["title"], real["album"]).to_pylist() == expected


def test_original_scripts_keep_their_words_apart() -> None:
    for row in version_words.WORDS:
        if row.position == "script":
            assert not row.word.isascii()
            assert as_printed(f"歌{row.word}歌") != f"歌{row.word}歌"
    for _, replacement in version_words.ORIGINAL_SCRIPTS:
        assert latinise(replacement) == replacement == f" {replacement.strip()} "


def test_plain_titles_hold_no_word_that_counts_without_a_bracket() -> None:
    for row in version_words.WORDS:
        if row.position in ("bare", "dashed", "anywhere") or row.kind in ("part", "guest"):
            shortest = re.sub(r"\([^)]*\)|[*]", "", latinise(row.word).lower())
            assert re.search(NOT_PLAIN, f"song {shortest}"), row


def test_signs_have_no_letters() -> None:
    signs = [chr(code) for code in range(0x110000) if re.fullmatch(f"[{SIGNS}]", chr(code))]
    assert len(signs) > 3_000
    assert not [sign for sign in signs if re.search("[a-z0-9]", latinise(sign).lower())]


def test_labels_are_whole_and_split_by_artist() -> None:
    with LABELS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 1_000
    pairs = {(row["left_track_id"], row["right_track_id"]) for row in rows}
    assert len(pairs) == len(rows)
    assert {row["label"] for row in rows} == {"0", "1"}
    assert all(row["why"] for row in rows)
    # One instrumental's pairs are all on one side, so that nothing held out was seen in tuning.
    sides: dict[str, set[str]] = {}
    for row in rows:
        sides.setdefault(row["right_track_id"], set()).add(row["split"])
    assert all(side in ({"tune"}, {"held_out"}) for side in sides.values())
