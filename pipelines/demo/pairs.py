"""The demo's pairs that have audio: true ones, and traps with the decision each should meet."""

from dataclasses import dataclass

from numpy.random import Generator

from pipelines.demo import words
from pipelines.demo.instruments import SAMPLE_RATE


@dataclass(frozen=True)
class Copy:
    """A file made of a song, and what was done to it on its way into the catalogue.

    `sound` is mixture, accompaniment or vocals; or garbage (bytes that are no audio), missing (a
    path without a file) or none (no path). `shift_s` > 0 puts silence before the start, < 0 cuts
    it. `dull` takes off some treble, as another master would.
    """

    sound: str
    suffix: str = ".flac"
    gain_db: float = 0.0
    shift_s: float = 0.0
    inverted: bool = False
    dull: bool = False
    sample_rate: int = SAMPLE_RATE


MIXTURE, ACCOMPANIMENT = Copy("mixture"), Copy("accompaniment")


@dataclass(frozen=True)
class Print:
    """How one track stands in the catalogue."""

    artist: str
    title: str
    copy: Copy


@dataclass(frozen=True)
class DemoPair:
    """Originals and the instrumental that the thesis' rule pairs with each of them.

    `unrelated` takes the instrumental from another song. Artists without an id in the catalogue
    get one derived from their name. `decision` is what `prune` should say.
    """

    originals: tuple[Print, ...]
    instrumental: Print
    decision: str = "kept"
    unrelated: bool = False
    artist_has_id: bool = True


def pair(
    artist: str,
    title: str,
    instrumental: str,
    copy: Copy = ACCOMPANIMENT,
    *,
    decision: str = "kept",
    unrelated: bool = False,
    original: Copy = MIXTURE,
    further: tuple[Print, ...] = (),
) -> DemoPair:
    """A pair whose artist is printed alike on both tracks."""
    originals = (Print(artist, title, original), *further)
    return DemoPair(originals, Print(artist, instrumental, copy), decision, unrelated)


def level(gain_db: float, suffix: str = ".flac") -> Copy:
    """An instrumental at another level."""
    return Copy("accompaniment", suffix, gain_db)


def shifted(shift_s: float, gain_db: float = 0.0) -> Copy:
    """An instrumental that starts later, or earlier."""
    return Copy("accompaniment", gain_db=gain_db, shift_s=shift_s)


# What differs between the titles of a pair is what the thesis' fuzzy() has to see through.
PAIRS = (
    pair(
        "Wim Kestrel",
        "Paper Lanterns",
        "Paper Lanterns (Instrumental)",
        further=(
            Print("Wim Kestrel", "Paper Lanterns", MIXTURE),  # on the single and on the album
            Print("WIM KESTREL", "Paper Lanterns - 2015 Remaster", Copy("mixture", dull=True)),
        ),
    ),
    DemoPair(
        (Print("The Hollow Coast", "The Long Way Down", MIXTURE),),
        Print("Hollow Coast, The", "Long Way Down - Instrumental", ACCOMPANIMENT),
    ),
    pair("Ada Marsh", "Salt & Fire", "Salt and Fire [Instrumental Version]", level(-3)),
    pair("Nils & The Ferries", "Seven Rivers", "7 Rivers (Instrumental)", shifted(0.152)),
    pair("Odile Grivel", "Été sans fin", "Ete sans fin (Instrumental)", level(0, ".mp3")),
    pair("Ансамбль Сирена", "Тихий берег", "Tikhii bereg (Instrumental)"),
    DemoPair(
        (Print("ゆきのおと", "さくらのみち", MIXTURE),),
        Print("Yukinooto", "Sakuranomichi (Karaoke Version)", ACCOMPANIMENT),
        artist_has_id=False,
    ),
    pair("DJ Voss", "Don't Wait Up", "DONT WAIT UP (INSTRUMENTAL)", level(-6)),
    DemoPair(
        (Print("Zoë Lindström", "Vårens första tåg", MIXTURE),),
        Print("Zoe Lindstrom", "Varens forsta tag - Instrumental", ACCOMPANIMENT),
        artist_has_id=False,
    ),
    pair("Quiet Machine", "Night Ferry (feat. Lio Marsh)", "Night Ferry - Karaoke"),
    pair("Ines Barros", "Corazón de sal", "Corazon De Sal (Karaoke)", shifted(-0.04)),
    pair("The Rusty Crowns", "Marble Arch", "Marble Arch (Official Instrumental)", level(1.5)),
    pair("Femi Okoro", "One for the Road Home", "1 For The Road Home [Instrumental]"),
    pair(
        "Silver Satellite",
        "Orbit",
        "Orbit (Instrumental Mix)",
        Copy("accompaniment", inverted=True),
    ),
    pair("Tilda Eklund", "Kvällsljus - Remastered 2012", "Kvallsljus (Instrumental)"),
    pair("Çağla Deniz", "İki Gemi Bir Liman", "Iki Gemi Bir Liman (İNSTRUMENTAL)", level(-2)),
    pair("Jonas Quist", "Half a Mile", "Half A Mile (instrumental)", shifted(0.31, -2)),
    pair("Violet Railway", "Window Seat", "Window Seat - Instrumental Version"),
    pair("Rosa Winterle", "Gold (Second Thoughts)", "Gold (Instrumental)"),
    pair("Bram Dorne", "Thunder, Slowly", "Thunder Slowly (Karaoke)"),
    pair("Greta Solberg", "Five Letters", "Five Letters - Instrumental", level(-4, ".mp3")),
    pair(
        "Neon Harbour",
        "Arcade Heart",
        "Arcade Heart (Instrumental)",
        Copy("accompaniment", sample_rate=48_000),
    ),
)

TRAPS = (
    # The voice was never taken out.
    pair(
        "Los Náufragos",
        "Glass Harbour",
        "Glass Harbour (Instrumental)",
        Copy("mixture", gain_db=-3),
        decision="too_similar",
    ),
    pair(
        "Sami Tamm",
        "Tender Machine",
        "Tender Machine (Karaoke Version)",
        Copy("mixture", ".mp3"),
        decision="too_similar",
    ),
    # An instrumental of another song of that name.
    pair(
        "Velvet Canyon",
        "Home",
        "Home (Instrumental)",
        decision="too_different",
        unrelated=True,
    ),
    # The original carries the title of another track.
    pair(
        "Mara Iwata",
        "Winter Letters",
        "Winter Letters - Instrumental",
        decision="too_different",
        unrelated=True,
    ),
    # Two originals and one instrumental that is no audio at all.
    pair(
        "Pavel Jansky",
        "Copper Wire",
        "Copper Wire (Instrumental)",
        Copy("garbage"),
        decision="unreadable",
        further=(Print("Pavel Jansky", "Copper Wire (Radio Edit)", MIXTURE),),
    ),
    pair(
        "Celia Farrow",
        "Second Summer",
        "Second Summer (Instrumental)",
        original=Copy("missing"),
        decision="unreadable",
    ),
    pair(
        "The Idle Hour",
        "Nothing But Rain",
        "Nothing but Rain [Karaoke]",
        Copy("none"),
        original=Copy("none"),
        decision="unreadable",
    ),
)

SHAPES = (
    "{} (Instrumental)",
    "{} - Instrumental",
    "{} [Instrumental Version]",
    "{} (Karaoke Version)",
    "{} (Official Instrumental)",
    "{} - Karaoke",
)


def invented(rng: Generator, count: int) -> list[DemoPair]:
    """Further true pairs, so that there is enough music to learn from."""
    pairs: list[DemoPair] = []
    while len(pairs) < count:
        title = words.title(rng)
        if title.startswith("("):  # its fuzzy title would be empty
            continue
        copies = (
            ACCOMPANIMENT,
            ACCOMPANIMENT,
            level(round(float(rng.uniform(-6, -1)), 1)),
            shifted(round(float(rng.uniform(-0.1, 0.4)), 3)),
        )
        copy = words.pick(rng, copies)
        marked = words.pick(rng, SHAPES).format(title)
        pairs.append(pair(words.artist_name(rng), title, marked, copy))
    return pairs
