"""The demo's catalogue: every kind of dirt, exactly the wanted pairs, and files to match."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from matching.titles import artist_key, fuzzy, is_instrumental
from pipelines.demo import catalogue
from pipelines.demo.catalogue import CLIP_LICENCE, CLIP_PAIR, ROWS, PairFiles, SongFiles
from pipelines.demo.pairs import PAIRS, TRAPS, Copy
from stemlode import audio

Row = dict


def rows_of(seed: int) -> list[Row]:
    pairs, _ = catalogue.plan_songs(seed)
    tracks = tuple((printed, "x.flac", 5.6) for printed in CLIP_PAIR.originals)
    clip = PairFiles(CLIP_PAIR, (*tracks, (CLIP_PAIR.instrumental, "y.flac", 5.6)), CLIP_LICENCE)
    return catalogue.catalogue_rows(np.random.default_rng([seed, 10]), [*pairs, clip])


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return rows_of(0)


def valid(rows: list[Row]) -> list[Row]:
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row["track_id"], row)
    return [
        row
        for row in first.values()
        if row["title"] and row["artist"] and 0 <= row["duration_s"] < math.inf
    ]


def thesis_pairs(rows: list[Row]) -> set[tuple[str, str, str]]:
    """Titles of every pair by eq. 3.4, the plain way."""
    found = []
    usable = [(row, row["artist_id"] or artist_key(row["artist"])) for row in valid(rows)]
    for mix, artist in usable:
        for instrumental, other in usable:
            if (
                artist == other
                and abs(mix["duration_s"] - instrumental["duration_s"]) < 1
                and not is_instrumental(mix["title"])
                and is_instrumental(instrumental["title"])
                and fuzzy(mix["title"]) == fuzzy(instrumental["title"]) != ""
            ):
                found.append((mix["track_id"], mix["title"], instrumental["title"]))
    return set(found)


@pytest.mark.parametrize("seed", range(4))
def test_the_rule_finds_exactly_the_pairs_that_were_planned(seed: int) -> None:
    planned = Counter(
        (original.title, pair.instrumental.title)
        for pair in [*(files.pair for files in catalogue.plan_songs(seed)[0]), CLIP_PAIR]
        for original in pair.originals
    )
    assert planned.total() > len(PAIRS) + len(TRAPS)
    assert Counter(pair[1:] for pair in thesis_pairs(rows_of(seed))) == planned


def test_a_seed_gives_the_same_rows(rows: list[Row]) -> None:
    assert repr(rows_of(0)) == repr(rows)
    assert repr(rows_of(1)) != repr(rows)


def test_the_catalogue_has_the_promised_size_and_a_believable_mix(rows: list[Row]) -> None:
    assert len(rows) == ROWS
    assert 100 < sum(row["audio_uri"] is not None for row in rows) < 200
    assert 60 < len({row["artist"] for row in rows}) < 300
    lengths = [row["duration_s"] for row in valid(rows) if row["audio_uri"] is None]
    assert 180 < np.median(lengths) < 280
    instrumentals = [row for row in valid(rows) if is_instrumental(row["title"])]
    assert 60 < len(instrumentals) < 200
    assert len({row["genre"] for row in rows}) > 5


DIRT = {
    "remasters": lambda t: "Remaster" in t,
    "live versions": lambda t: "Live" in t,
    "featured artists": lambda t: "feat." in t or "ft." in t,
    "karaoke": lambda t: "Karaoke" in t,
    "remixes": lambda t: t.endswith("Remix"),
    "Cyrillic": lambda t: any("а" <= c <= "я" for c in t),
    "kana": lambda t: any("ぁ" <= c <= "ん" for c in t),
    "diacritics": lambda t: any(c in "éåñöżİ" for c in t),
    "instrumental in brackets": lambda t: "(Instrumental)" in t,
    "instrumental after a dash": lambda t: " - Instrumental" in t,
    "instrumental in square brackets": lambda t: "[Instrumental" in t,
    "instrumental in capitals": lambda t: "INSTRUMENTAL" in t,
    "instrumental with a dotted capital I": lambda t: "İNSTRUMENTAL" in t,
    "markers that the rule does not know": lambda t: "Inst.)" in t or "off vocal" in t,
    "titles that begin with a bracket": lambda t: t.startswith("("),
    "titles without a letter": lambda t: fuzzy(t) == "",
}


@pytest.mark.parametrize("kind", DIRT)
def test_every_kind_of_title_dirt_is_there(rows: list[Row], kind: str) -> None:
    assert any(DIRT[kind](row["title"]) for row in valid(rows))


def test_artists_have_aliases_and_titles_are_misspelt_and_repeated(rows: list[Row]) -> None:
    usable = valid(rows)
    names_by_id: dict[str, set[str]] = {}
    for row in usable:
        names_by_id.setdefault(row["artist_id"] or artist_key(row["artist"]), set()).add(
            row["artist"]
        )
    assert sum(len(names) > 1 for names in names_by_id.values()) >= 3
    lanterns = [row for row in usable if row["title"] == "Paper Lanterns"]
    assert len(lanterns) == 2, "one song on two releases"
    assert np.ptp([row["duration_s"] for row in lanterns]) < 1
    anagrams: dict[tuple[str, str], set[str]] = {}
    for row in usable:
        anagrams.setdefault((row["artist"], "".join(sorted(row["title"]))), set()).add(row["title"])
    assert sum(len(titles) > 1 for titles in anagrams.values()) >= 3, "swapped letters"


def test_invalid_rows_are_there_each_kind(rows: list[Row]) -> None:
    assert sum(row["title"] is None for row in rows) == 2
    assert sum(row["artist"] is None for row in rows) == 1
    durations = [row["duration_s"] for row in rows]
    assert sum(d < 0 for d in durations) == 1
    assert sum(math.isnan(d) for d in durations) == 1
    assert sum(math.isinf(d) for d in durations) == 1
    assert Counter(Counter(row["track_id"] for row in rows).values())[2] == 1
    assert any(d > 50_000 and math.isfinite(d) for d in durations), "milliseconds given as seconds"


def test_every_file_says_under_which_terms_it_may_be_used(rows: list[Row]) -> None:
    with_audio = [row for row in rows if row["audio_uri"]]
    assert {row["licence"] for row in with_audio} == {"CC0-1.0", CLIP_LICENCE}
    assert {row["licence"] for row in rows if not row["audio_uri"]} == {None}
    clip = [row for row in rows if row["licence"] == CLIP_LICENCE]
    assert {row["artist"] for row in clip} == {"The Easton Ellises"}


def test_held_out_songs_are_in_no_pair() -> None:
    _, songs = catalogue.plan_songs(0)
    held_out = {s.seed for s in songs if s.copies[0][0].startswith("stems/")}
    others = [s.seed for s in songs if not s.copies[0][0].startswith("stems/")]
    assert len(held_out) == 3
    assert not held_out & set(others)
    assert len(set(others)) == len(others)


def test_copies_are_what_the_plan_says(tmp_path: Path) -> None:
    copies = {
        "mixture.flac": Copy("mixture"),
        "accompaniment.flac": Copy("accompaniment"),
        "vocals.flac": Copy("vocals"),
        "late.flac": Copy("accompaniment", gain_db=-6, shift_s=0.152),
        "early.flac": Copy("accompaniment", shift_s=-0.04, inverted=True),
        "other_rate.flac": Copy("accompaniment", sample_rate=48_000),
        "encoded.mp3": Copy("mixture", ".mp3"),
    }
    song = SongFiles(5, 4.0, tuple(copies.items()))
    catalogue.write_song(str(tmp_path), song)
    read = {name: audio.read(str(tmp_path / name)) for name in copies}
    accompaniment = read["accompaniment.flac"].samples
    frames = accompaniment.shape[1]

    total = accompaniment + read["vocals.flac"].samples
    assert np.array_equal(total, read["mixture.flac"].samples)
    late = round(0.152 * 44_100)
    assert np.abs(read["late.flac"].samples[:, :late]).max() == 0
    moved = read["late.flac"].samples[:, late:]
    assert np.allclose(moved, accompaniment * 10 ** (-6 / 20), atol=2**-15)
    cut = round(0.04 * 44_100)
    assert np.array_equal(read["early.flac"].samples, -accompaniment[:, cut:])
    assert read["other_rate.flac"].sample_rate == 48_000
    assert read["other_rate.flac"].duration_s == pytest.approx(4.0, abs=1e-3)
    assert read["encoded.mp3"].samples.shape[1] == pytest.approx(frames, abs=4000)

    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "encoded.mp3").unlink()
    (tmp_path / "late.flac").unlink()
    catalogue.write_song(str(tmp_path), song)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_damaged_file_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "damaged.flac"
    path.write_bytes(catalogue.garbage(0))
    with pytest.raises(audio.AudioError):
        audio.read(str(path))


def test_the_real_clip_becomes_a_pair_whose_difference_is_its_vocals(tmp_path: Path) -> None:
    clip = catalogue.clip_path()
    if clip is None:
        pytest.skip("stempeg, which carries the clip, is not installed")
    pair = catalogue.write_clip(clip, str(tmp_path))
    mixture, instrumental = (audio.read(str(tmp_path / str(path))) for _, path, _ in pair.tracks)
    assert pair.licence == CLIP_LICENCE
    assert mixture.duration_s == instrumental.duration_s == pytest.approx(pair.tracks[0][2])
    assert 5 < mixture.duration_s < 6.5
    rate = mixture.sample_rate
    vocals = audio.read(clip, stream=4).samples[:, int(0.2 * rate) :]
    residual = mixture.samples - instrumental.samples
    vocals = vocals[:, : residual.shape[1]]
    gain = np.sum(vocals * residual) / np.sum(vocals**2)
    missed = np.sum((residual - gain * vocals) ** 2) / np.sum(residual**2)
    assert missed < 0.05
