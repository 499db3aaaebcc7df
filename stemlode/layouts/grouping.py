"""What stems are summed into: as they are, two, four or five sources. No Beam."""

import dataclasses
import re

from stemlode.layouts.songs import Part, Song

GROUPINGS = {
    "own": (),
    "two": ("vocals", "accompaniment"),
    "four": ("vocals", "drums", "bass", "other"),  # as MUSDB18
    "five": ("vocals", "guitar", "bass", "drums", "other"),  # thesis, section 6.2
}
# An instrument belongs to the first family that it names. MoisesDB's own package counts
# percussion as other; the thesis' stem is "percussion", drums and all.
_FAMILIES = (
    (
        "vocals",
        r"vocals?|vocalists?|voice|voices|singer|choir|rapper|speaker|beatboxing|lead_vocals?"
        r"|backing_vocals?",
    ),
    (
        "drums",
        r"drums?|drumkit|percussion|toms|snare|kick|cymbals?|high_hat|hihat|bongos?|congas?"
        r"|tambourine|darbuka|doumbek|tabla|timpani|cowbell|cabasa|guiro|claps|rattle|shaker"
        r"|maracas|triangle|sleigh_bells|castanet|gong|overheads",
    ),
    ("other", r"bass_clarinet|bassoon"),
    ("bass", r"bass|contrabass"),
    ("guitar", r"guitars?"),
)
# Of these a stem can hold but one ("bassdrums" holds two). A bass drum is a drum.
_STRINGS = r"bass(?!_?drum(_|$))|guitar"
_BY_STEM = (r"vocal|voice", r"drum", _STRINGS)
_APART = {"two": (r"vocal|voice", rf"drum|{_STRINGS}"), "four": _BY_STEM, "five": _BY_STEM}


def family(source: str) -> str:
    """vocals, drums, bass, guitar or other, by the name of a stem or an instrument."""
    for name, words in _FAMILIES:
        if re.search(rf"(?:^|_)(?:{words})(?:_|$)", slug(source)):
            return name
    return "other"


def slug(text: str) -> str:
    """An instrument's name as a source's: lower case, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:32]


def is_several(source: str, grouping: str) -> bool:
    """Whether a stem's name says that it is a sum of what a grouping tells apart."""
    return sum(bool(re.search(words, slug(source))) for words in _APART[grouping]) > 1


def grouped(song: Song, grouping: str) -> Song:
    """The song with its stems summed into the sources of GROUPINGS[grouping].

    A song that states a mixture keeps it as what the sum is checked against. A song without
    vocals is an unpaired instrumental where two sources are wanted. One with a stem that is a sum
    of several of them cannot be used.
    """
    wanted = GROUPINGS[grouping]
    if not wanted or song.fault or song.kind == "unpaired":
        return song
    mixture = {"mixture": song.parts["mixture"]} if "mixture" in song.parts else {}
    stems = {name: parts for name, parts in song.parts.items() if name != "mixture"}
    if "accompaniment" in stems:
        if grouping != "two":
            held = ", ".join(sorted(stems))
            return dataclasses.replace(song, fault=f"holds {held}: no {grouping} sources")
        return song
    if several := [name for name in sorted(stems) if is_several(name, grouping)]:
        return dataclasses.replace(song, fault=f"{several[0]} is a sum: no {grouping} sources")
    sums: dict[str, tuple[Part, ...]] = {}
    bleed = set()
    for name, parts in stems.items():
        to = family(name)
        if to not in wanted:
            to = "accompaniment" if grouping == "two" else "other"
        bleed |= {to} if name in song.bleed else set()
        sums[to] = (*sums.get(to, ()), *parts)
    if grouping == "two" and set(sums) == {"accompaniment"}:
        return dataclasses.replace(song, parts=sums, kind="unpaired", bleed=tuple(sorted(bleed)))
    return dataclasses.replace(song, parts=sums | mixture, bleed=tuple(sorted(bleed)))
