"""Invented artists, titles and the ways in which catalogues misprint them, for the demo.

No name here is meant to be anyone's. Every misprint below was seen in real catalogues.
"""

from collections.abc import Sequence
from typing import TypeVar

from numpy.random import Generator

T = TypeVar("T")


def words(text: str) -> list[str]:
    """The words of a list written as one text."""
    return text.split()


ADJECTIVES = words(
    "Amber Blue Borrowed Brittle Broken Copper Crooked Distant Drowsy Electric Empty Faded Feral "
    "Foreign Frozen Gentle Golden Hidden Hollow Holy Idle Lonely Lost Lunar Marble Midnight Narrow "
    "Neon Northern Paper Patient Quiet Restless Rusty Sacred Second Secret Silver Sleepless Small "
    "Sudden Sunken Tender Velvet Violet Wandering Wicked Wild Winter Yellow"
)
NOUNS = words(
    "Arcade Avenue Balcony Battery Bridge Candle Canyon Carousel Cathedral Circuit City Coast "
    "Comet Compass Crown Desert Diamond Engine Evening Falcon Feather Ferry Fire Forest Garden "
    "Ghost Harbour Heart Horizon Hotel Hour Island Kingdom Ladder Lantern Letter Light Machine "
    "Meadow Mirror Monument Motor Mountain Ocean Orchard Parade Planet Radio Railway Rain River "
    "Satellite Shadow Signal Sister Stranger Summer Theatre Thunder Tiger Tower Window Wolf"
)
VERBS = words("Break Burn Call Carry Chase Follow Forget Hold Leave Lose Move Remember Save Wake")
NUMBERS = words("One Two Three Four Five Six Seven Eight Nine")
PLACES = ("the Harbour", "Studio Nine", "Lagerhaus", "the Old Mill", "Sala Verde", "Kōenji")
FIRST = words(
    "Ada Bram Celia Dario Edda Femi Greta Hugo Ines Jonas Kaya Lio Mara Nils Odile Pavel Rosa Sami "
    "Tilda Ugo Vera Wim Yara Zeno"
)
LAST = words(
    "Almqvist Barros Castellan Dorne Eklund Farrow Grivel Hartwin Iwata Jansky Kestrel Lindqvist "
    "Marsh Norrby Okoro Prideaux Quist Rahimi Solberg Tamm Ueda Voss Winterle Yilmaz"
)

# Artists outside English with titles of their own language.
FOREIGN = (
    (
        ("Ансамбль Полюс", "Вера Зимняя", "Группа Маяк"),
        (
            "Тихая река",
            "Город без имени",
            "Белый пароход",
            "Последний трамвай",
            "Снег в июне",
            "Письмо соседу",
            "Где ты, заря?",
        ),
    ),
    (
        ("みなとバンド", "あおいそら", "カモメ楽団"),
        (
            "よるのえき",
            "ほしのうみ",
            "雨の日のカフェ",
            "さよならバス",
            "夏の終わり",
            "ひかりのまち",
        ),
    ),
    (
        ("Zoé Lumière", "Les Vagues Bleues"),
        ("Été à la mer", "Où va la nuit", "Café fermé", "L'Écho des toits", "Déjà l'hiver"),
    ),
    (
        ("Los Faroles", "Inés Montaña"),
        (
            "Corazón de papel",
            "Mañana, quizás",
            "El último tren",
            "Canción del río",
            "¿Dónde estás?",
        ),
    ),
    (
        ("Åsa Björkman", "Nordsjön"),
        ("Smörgås på månen", "Västerut", "Håll mig än", "Över fjärden", "Två små båtar"),
    ),
    (
        ("Gülşen Işık", "Żółte Liście", "Νίκος Θάλασσας"),
        ("Üç Mevsim", "Şehrin Işıkları", "Żółty tramwaj", "Νύχτα στο λιμάνι", "Ağır Yağmur"),
    ),
)
GENRES = ("pop", "rock", "electronic", "hip hop", "folk", "soul", "jazz", "metal", "schlager")


def pick(rng: Generator, choices: Sequence[T]) -> T:
    """One of them."""
    return choices[int(rng.integers(len(choices)))]


def artist_name(rng: Generator) -> str:
    """A person, a band, or a DJ."""
    shape = rng.integers(5)
    if shape == 0:
        return f"{pick(rng, FIRST)} {pick(rng, LAST)}"
    if shape == 1:
        return f"The {pick(rng, ADJECTIVES)} {pick(rng, NOUNS)}s"
    if shape == 2:
        return f"{pick(rng, FIRST)} & The {pick(rng, NOUNS)}s"
    if shape == 3:
        return f"{pick(rng, ADJECTIVES)} {pick(rng, NOUNS)}"
    return f"DJ {pick(rng, LAST)}"


def title(rng: Generator) -> str:
    """An English title."""
    adjective, noun, other = pick(rng, ADJECTIVES), pick(rng, NOUNS), pick(rng, NOUNS)
    shapes = (
        f"{adjective} {noun}",
        f"The {adjective} {noun}",
        f"{noun} & {other}",
        f"{pick(rng, VERBS)} the {noun}",
        f"Don't {pick(rng, VERBS)} My {noun}",
        f"{pick(rng, NUMBERS)} {noun}s",
        f"{noun} of the {adjective} {other}",
        f"{pick(rng, VERBS)} Me, {noun}" if rng.random() < 0.8 else f"(The) {adjective} {noun}",
        f"{pick(rng, VERBS)} Away",
        f"{adjective} {noun}, {adjective} {other}",
    )
    return pick(rng, shapes)


def misspelt(rng: Generator, text: str) -> str:
    """Two neighbouring letters swapped, one lost, or one doubled; never the first of a word."""
    inside = [i for i in range(1, len(text) - 2) if text[i - 1 : i + 2].isalpha()]
    if not inside:
        return text + text[-1]
    i = inside[int(rng.integers(len(inside)))]
    swapped = text[:i] + text[i + 1] + text[i] + text[i + 2 :]
    wrong = (swapped, text[:i] + text[i + 1 :], text[:i] + text[i] + text[i:])[rng.integers(3)]
    return wrong if wrong != text else text[:i] + text[i + 1 :]


def alias(rng: Generator, name: str) -> str:
    """The same artist as another label prints it."""
    bare = name.removeprefix("The ")
    shapes = (
        name.upper(),
        bare if bare != name else f"The {name}",
        f"{bare}, The" if bare != name else name.lower(),
        name.replace(" & ", " and ") if " & " in name else name.replace(" ", "  "),
        f"{name} (Official)",
    )
    return pick(rng, shapes)
