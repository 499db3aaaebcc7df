"""Every pair of a run of prune, for a table that a page can sort and filter."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from pipelines.pages import text
from pipelines.pages.pairs import ShownPair

MOST = 10_000  # pairs in the page
SHOWN = 10  # rows at first; a script shows more of them
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


@dataclass(frozen=True)
class PairListing:
    """Pairs in the order in which they are shown first; `players` maps a pair to its section."""

    pairs: Sequence[ShownPair]
    untold: int
    players: Mapping[str, str] = field(default_factory=dict)
    shown: int = SHOWN

    @property
    def decisions(self) -> list[str]:
        """The decisions that there are."""
        return sorted({pair.decision for pair in self.pairs})

    @property
    def heard(self) -> int:
        """How many have players."""
        return sum(pair.pair_id in self.players for pair in self.pairs)

    @property
    def json(self) -> Markup:
        """All rows, for the page's own script: no character of theirs ends its element."""
        rows = json.dumps([self._row(pair) for pair in self.pairs], ensure_ascii=False)
        return Markup("".join(_UNSAFE.get(c, c) for c in rows))

    def _row(self, pair: ShownPair) -> list[str | float | None]:
        def line(value: str, most: int) -> str:
            return str(text.visible(text.brief(value, most)))

        def rounded(value: float | None, places: int) -> float | None:
            return None if value is None else round(value, places)

        return [
            line(pair.title, 90),
            line(pair.artist, 60),
            rounded(pair.difference, 3),
            rounded(pair.offset_s, 3),
            rounded(pair.gain_db, 1),
            line(text.plain(pair.decision), 60),
            line(pair.instrumental, 90),
            text.kind(pair.decision),
            line(pair.reason, 120),
            self.players.get(pair.pair_id),
        ]
