"""The report's part on matching: what the catalogue was like, read from the run's own record.

Records are untrusted: what has another shape is left out.
"""

from dataclasses import dataclass
from typing import Any

from pipelines.pages import charts, inputs
from pipelines.pages.charts import Histogram
from pipelines.pages.inputs import Folder

MOST_KEYS = 20
MOST_WORDS = 40
FIRST_YEAR, LAST_YEAR = 1860, 2100  # sound has not been recorded for longer


@dataclass(frozen=True)
class Titles:
    """What a match says beside its counts.

    notes: sentences. shares: of releases with instrumentals, by year (thesis figure 3.5). years:
    (year, releases, with instrumentals). large: keys that were left out, the largest first. words:
    beside markers that the rule does not know, each with how many instrumentals it describes.
    """

    notes: list[str]
    shares: Histogram | None
    years: list[tuple[int, int, int]]
    large: list[dict[str, Any]]
    words: list[tuple[str, int]]

    @property
    def is_empty(self) -> bool:
        """Nothing to show."""
        return not (self.notes or self.years or self.large or self.words)


def titles(match: Folder) -> Titles:
    """What the record of a match says."""
    notes = match.record.get("notes")
    years = _years(match)
    return Titles(
        notes=[note for note in notes if isinstance(note, str)] if isinstance(notes, list) else [],
        shares=charts.shares([(year, some / every) for year, every, some in years]),
        years=years,
        large=_large(match.record.get("large_keys")),
        words=_words(match),
    )


def _years(match: Folder) -> list[tuple[int, int, int]]:
    found = []
    for year, facts in match.facts("releases").items():
        counts = facts if isinstance(facts, dict) else {}
        every, some = (
            inputs.whole(counts.get(name)) for name in ("releases", "with_instrumentals")
        )
        if not (year.isascii() and year.isdigit() and FIRST_YEAR <= int(year) <= LAST_YEAR):
            continue
        if every is not None and some is not None and every > 0 and 0 <= some <= every:
            found.append((int(year), every, some))
    return sorted(found)


def _large(keys: Any) -> list[dict[str, Any]]:
    found = []
    for key in keys if isinstance(keys, list) else []:
        facts = key if isinstance(key, dict) else {}
        sizes = {n: inputs.whole(facts.get(n)) for n in ("mixtures", "instrumentals")}
        pairs = inputs.whole(facts.get("candidates"))
        if pairs is not None and None not in sizes.values():
            names = {n: str(facts.get(n, "")) for n in ("artist_id", "fuzzy_title")}
            found.append({**names, **sizes, "candidates": pairs})
    return found[:MOST_KEYS]


def _words(match: Folder) -> list[tuple[str, int]]:
    numbers = {word: inputs.whole(number) for word, number in match.facts("unknown_words").items()}
    found = [(word, number) for word, number in numbers.items() if number and number > 0]
    return sorted(found, key=lambda word: (-word[1], word[0]))[:MOST_WORDS]
