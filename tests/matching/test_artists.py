"""Who a recording is by: one artist however the credit is written, and nobody who is nobody."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching import artists
from matching.artists import NOBODIES, NOBODY_IDS
from matching.titles import artist_key


def _names(credit: str) -> tuple[str, ...]:
    found = artists.of(None, credit)
    return found.keys if found else ()


MUSE = """Muse feat. B|Muse (feat. B)|Muse [ft B]|Muse FEATURING B|Muse & B|MUSE, B|Muse; B|Muse\0B
Muse / B|Muse x B|Muse vs. B|Muse with B|Muse + B|Muse und B|Muse、B|The Muse|Muse, The|Muse (2)
Mu\u200bse|Ｍｕｓｅ|Unknown Artist feat. Muse|[unknown] & Muse| muse 
Muse - Topic|MuseVEVO|feat. Muse|Mu$e|ft Mu$e & B"""
SOMEBODY = """AC/DC|10,000 Maniacs|!!!|+/-|[spunge]|(hed) p.e.|With Honor|X|The The|Archive|Data|🎵
Soundtrack of Our Lives|Unknown Mortal Orchestra|Malcolm X"""
NOBODY = """| |\u200b\u2060|???| - |Various Artists|various  artists|V.A.|VA|Verschiedene|[unknown]
VERSCHIEDENE KÜNSTLER|[UNKNOWN]|<unknown>|Soundtrack|Неизвестный исполнитель|群星|[data]|N/A
Unknown Artist (feat. )|\u202eUnknown|Ｖａｒｉｏｕｓ　Ａｒｔｉｓｔｓ|Vari\u00adous Artists
[traditional]|Original Soundtrack (2003)"""


def _listed(names: str) -> list[str]:
    return [name for line in names.splitlines() for name in line.split("|")]


@pytest.mark.parametrize("credit", _listed(MUSE))
def test_of_a_credit_the_first_artist_who_is_known_counts(credit: str) -> None:
    assert _names(credit) == ("name:muse",)


def test_signs_that_stand_for_letters_are_letters() -> None:
    for printed, plain in (("P!nk", "Pink"), ("A$AP", "ASAP"), ("Bada$$", "Badass")):
        assert _names(printed) == _names(plain)


@pytest.mark.parametrize("credit", _listed(SOMEBODY))
def test_bands_with_odd_names_are_somebody(credit: str) -> None:
    assert _names(credit) == (f"name:{artist_key(credit)}",)


@pytest.mark.parametrize("credit", _listed(NOBODY))
@pytest.mark.parametrize("artist_id", [None, "", "4711"])
def test_nobody_is_nobody_however_it_is_written(credit: str, artist_id: str | None) -> None:
    assert artists.of(artist_id, credit) is None


def test_an_id_alone_is_an_artist_unless_it_is_nobodys() -> None:
    assert artists.of("4711", None) == artists.Artist("4711", ("id:4711",))
    for nobody in (*NOBODY_IDS, "unknown", "Various Artists", "", None):
        assert artists.of(nobody, None) is None
        assert artists.of(nobody and nobody.upper(), None) is None
    musicbrainz = "125ec42a-7229-4250-afc5-e057484327fe"
    assert artists.of(musicbrainz, "[unknown] & Muse") == artists.Artist("Muse", ("name:muse",))


def test_ids_of_any_length_are_told_apart_and_stay_short() -> None:
    long = "i" * 1_000_000
    (first,), (other,) = (artists.of(one, None).keys for one in (long, long + "j"))  # type: ignore[union-attr]
    assert first != other and len(first) < 200
    for hostile in ("(" * 1_000_000, " feat" * 200_000, "\u0301" * 1_000_000, "M" * 1_000_000):
        assert all(len(key) < 1000 for key in _names(hostile))


INVISIBLE = st.sampled_from("\u200b\u200c\u200d\u2060\ufeff\u00ad\u202e")


@given(st.sampled_from(["Various Artists", "Unknown", "Muse", "Björk"]), st.data())
def test_neither_case_nor_width_nor_what_is_not_seen_counts(name: str, data: st.DataObject) -> None:
    signs = [data.draw(st.sampled_from([s.lower(), s.upper()])) for s in name]
    hidden = [data.draw(st.text(INVISIBLE, max_size=2)) + sign for sign in signs]
    form = data.draw(st.sampled_from(["NFC", "NFD"]))
    assert _names(unicodedata.normalize(form, "".join(hidden))) == _names(name)


@given(st.text(max_size=40))
def test_any_credit_is_read(credit: str) -> None:
    found = artists.of(None, credit)
    assert found is None or (found.name and all(len(key) > len("name:") for key in found.keys))


LETTERS = st.characters(categories=["Lu", "Ll", "Lo", "Nd"])


@given(st.text(LETTERS, min_size=1), st.text(), st.sampled_from([" feat. ", " & ", ", ", "; "]))
def test_a_guest_changes_nothing(name: str, guest: str, link: str) -> None:
    assert not _names(name) or _names(f"{name}{link}{guest}") == _names(name)


@given(st.sets(st.sampled_from("abc")), st.sets(st.sampled_from("abc")))
def test_an_artist_may_stand_in_several_splits_only_where_lists_say_so(
    drawn: set[str], listed: set[str]
) -> None:
    wrong = len(drawn | listed) > 1 and bool(drawn - listed)
    assert artists.may_stand(drawn, listed) is not wrong


def test_the_words_of_nobody_are_as_they_are_compared() -> None:
    assert {"variousartists", "va", "unknown", "soundtrack", "verschiedene"} <= NOBODIES
    assert "" not in NOBODIES
