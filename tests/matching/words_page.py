"""docs/words.md, made from the table of words: `python -m tests.matching.words_page`."""

import csv
from collections import defaultdict
from importlib import resources
from pathlib import Path

from matching.version_words import WORDS, Word

PAGE = Path(__file__).resolve().parents[2] / "docs" / "words.md"
LANGUAGES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "cs": "Czech", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "fa": "Persian",
    "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian",
    "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean",
    "lt": "Lithuanian", "nb": "Norwegian", "ne": "Nepali", "nl": "Dutch", "pl": "Polish",
    "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian",
    "sq": "Albanian", "sr": "Serbian", "sv": "Swedish", "th": "Thai", "tl": "Filipino",
    "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
KINDS = {
    "marker": "The lead vocals are missing",
    "voice": "There is nothing but vocals",
    "version": "Another recording, mix or edit",
    "form": "Nouns for a version, which say nothing themselves",
    "edit": "Nouns for a version that are an edit without a marker",
    "generic": "Words that say nothing about the sound beside the voice",
    "language": "What is sung in (beside a noun for a version)",
    "aside": "What else is there or missing, which does not count beside a marker",
    "ensemble": "Players that make another version (“with strings”)",
    "guest": "Guests follow",
    "credit": "Credits follow",
    "cover": "A recording of another artist's song",
    "part": "Parts of a work",
    "number": "Numbers of parts",
    "remaster": "The same recording, mastered again",
    "album": "Albums of instrumentals, at the end of their titles",
    "article": "Articles",
}
INTRODUCTION = """\
# The words of the extended rule

`match --rule extended` reads titles by these words. All three engines are made from one table,
[`matching/words.csv`](../matching/words.csv); this page is made from it too, and a test holds the
two together. **If a word of your language is wrong or missing, change a row of the table** and run
`python -m tests.matching.words_page`. A word needs a source: a page where it is used like that.

In a word, `(s)` and `(a|b)` may be missing, `-` is a hyphen, a space or nothing, and `*` stands for
more letters; upper case, accents and the alphabet do not count. Where a word counts:

| | |
|---|---|
| alone | if it is all there is in a bracket or after a dash: “Song (MR)”, not “Mr. Brightside” |
| bracket | in a bracket or after a dash, beside other words: “Song (Karaoke 2011)” |
| dashed | so, and after half a dash: “Song -Inst-” |
| bare | so, and at the end of a title: “Song Instrumental” |
| anywhere | in brackets and in the title itself |
| script | anywhere, in a script that has no spaces between words: “Song伴奏” |
"""


def page() -> str:
    """The page as it should be."""
    by_kind: dict[str, list[Word]] = defaultdict(list)
    for row in WORDS:
        by_kind[row.kind].append(row)
    parts = [INTRODUCTION]
    for kind, title in KINDS.items():
        rows = by_kind.pop(kind, [])
        if rows:
            parts.append(f"## {title} (`{kind}`)\n\n{_table(rows)}")
    assert not by_kind, f"kinds without a title: {sorted(by_kind)}"
    return "\n".join([*parts, f"## Sources\n\n{_sources()}"])


def _table(rows: list[Word]) -> str:
    cells: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for row in rows:
        cells[LANGUAGES[row.language], row.means, row.position, row.source].append(row.word)
    lines = ["| language | words | meaning | where | source |", "|---|---|---|---|---|"]
    for (language, means, position, source), words in sorted(cells.items()):
        listed = ", ".join(f"`{word}`".replace("|", "\\|") for word in words)
        lines.append(f"| {language} | {listed} | {means} | {position} | [{source}](#sources) |")
    return "\n".join(lines) + "\n"


def _sources() -> str:
    with (resources.files("matching") / "word_sources.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = [f"- **{row['source']}**: {row['what']}. {row['where']}" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
