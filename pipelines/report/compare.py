"""Two runs of one verb side by side: what they were told, what they counted, what became of each
pair or song, and how they learnt."""

import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.pages.charts import Curves, curves
from pipelines.pages.inputs import Folder, real
from pipelines.report import training
from pipelines.report.evaluation import scores

LISTED = 40  # songs or pairs that differ most
OPTIONS = ("options", "recipe")
_FINGERPRINT = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")  # enough of it to tell two apart
NUMBERS = ("counts", "scores")


@dataclass(frozen=True)
class NumberRow:
    """A number of both runs; None where one has it not."""

    name: str
    first: float | None
    second: float | None

    @property
    def change(self) -> float | None:
        """How much more the second has."""
        return None if self.first is None or self.second is None else self.second - self.first


@dataclass(frozen=True)
class Comparison:
    """Two runs of one verb, the one that is compared first."""

    verb: str
    first: str  # folders
    second: str
    options: list[tuple[str, str, str]]
    numbers: list[NumberRow]
    decisions: list[tuple[str, str, int]] = field(default_factory=list)  # before, after, pairs
    moved: list[tuple[str, str, str]] = field(default_factory=list)  # pair, before, after
    songs: dict[str, list[NumberRow]] = field(default_factory=dict)  # source → uSDR by song
    means: list[NumberRow] = field(default_factory=list)  # of the songs that both scored
    curves: list[tuple[str, Curves]] = field(default_factory=list)
    untold: int = 0


def comparisons(
    others: Sequence[Folder], folders: Sequence[Folder], named: Callable[[str], str]
) -> list[Comparison]:
    """Each of some runs beside the run of its verb among the page's own, the last one of several;
    those that have no such partner are left out."""
    partners = [(other, partner(other, folders)) for other in others]
    return [compared(other, own, named) for other, own in partners if own is not None]


def partner(other: Folder, folders: Sequence[Folder]) -> Folder | None:
    """The run of the page that another one is put beside; None where there is none."""
    found = [f for f in folders if f.verb == other.verb and f.path != other.path]
    return found[-1] if found else None


def compared(first: Folder, second: Folder, named: Callable[[str], str]) -> Comparison:
    """Two runs of one verb."""
    both = (first, second)
    comparison = Comparison(
        first.verb, first.path, second.path, _options(both), _numbers(first, second)
    )
    if first.verb == "prune":
        return replace(comparison, **_decisions(both))
    if first.verb == "evaluate":
        return replace(comparison, **_songs(both, named))
    if first.verb in ("train", "finetune"):
        return replace(comparison, curves=_curves(both))
    return comparison


def _options(both: tuple[Folder, Folder]) -> list[tuple[str, str, str]]:
    """What was told or read otherwise."""
    found = []
    for entry in (*OPTIONS, "inputs", "versions"):
        one, two = (folder.facts(entry) for folder in both)
        for name in sorted({*one, *two}):
            told = [training.text(facts[name]) if name in facts else "–" for facts in (one, two)]
            if told[0] != told[1]:
                told = [_FINGERPRINT.sub(r"\1…", text) for text in told]
                found.append((f"{entry}: {name}", told[0], told[1]))
    return found


def _numbers(first: Folder, second: Folder) -> list[NumberRow]:
    """What both counted, and the seconds that they took."""
    rows = []
    for entry in NUMBERS:
        one, two = first.facts(entry), second.facts(entry)
        rows += [
            NumberRow(name, real(one.get(name)), real(two.get(name)))
            for name in sorted({*one, *two})
        ]
    took = (real(folder.record.get("seconds")) for folder in (first, second))
    rows.append(NumberRow("seconds", *took))
    return [row for row in rows if row.first is not None or row.second is not None]


def _decisions(both: tuple[Folder, Folder]) -> dict[str, Any]:
    """Pairs by what each run decided; those on which they do not agree by title."""
    tables = [
        folder.table("pairs", ["pair_id", "decision", "mix.artist", "mix.title"]) for folder in both
    ]
    decided: list[dict[str, str]] = []
    titles: dict[str, str] = {}
    for table in tables:
        ids = [] if table is None else table["pair_id"].to_pylist()
        decided.append(dict(zip(ids, table["decision"].to_pylist(), strict=True)) if table else {})
        if table is not None:
            names = zip(
                table["mix.artist"].to_pylist(), table["mix.title"].to_pylist(), strict=True
            )
            labels = (" – ".join(filter(None, name)) for name in names)
            titles |= dict(zip(ids, labels, strict=True))
    outcome = {
        pair: tuple(held.get(pair, "not there") for held in decided)
        for pair in sorted({*decided[0], *decided[1]})
    }
    counted = Counter(outcome.values())
    moved = [(titles[pair], *became) for pair, became in outcome.items() if len({*became}) > 1]
    return {
        "decisions": [(*became, n) for became, n in sorted(counted.items())],
        "moved": sorted(moved)[:LISTED],
        "untold": max(0, len(moved) - LISTED),
    }


def _songs(both: tuple[Folder, Folder], named: Callable[[str], str]) -> dict[str, Any]:
    """uSDR of the estimate of each song that either scored, the largest change first."""
    scored = [_usdr(folder, named) for folder in both]
    found, means, untold = {}, [], 0
    for source in sorted({*scored[0], *scored[1]}):
        one, two = (by.get(source, {}) for by in scored)
        rows = [NumberRow(song, one.get(song), two.get(song)) for song in sorted({*one, *two})]
        rows.sort(key=lambda row: -abs(row.change or 0.0))
        found[source], untold = rows[:LISTED], untold + max(0, len(rows) - LISTED)
        shared = sorted({*one} & {*two})
        if shared:
            values = (statistics.fmean(by[song] for song in shared) for by in (one, two))
            means.append(NumberRow(f"{source}, mean of {len(shared)}", *values))
    return {"songs": found, "means": means, "untold": untold}


def _usdr(folder: Folder, named: Callable[[str], str]) -> Mapping[str, dict[str, float]]:
    """source → song → uSDR of the estimate."""
    held = folder.columns("songs")
    if "usdr_estimate" not in held:
        return {}
    also = [name for name in ("system",) if name in held]
    table = folder.table("songs", ["song", "source", *also, "usdr_estimate"])
    found: dict[str, dict[str, float]] = {}
    for row in table.to_pylist() if table is not None else []:
        if (value := real(row["usdr_estimate"])) is not None:
            found.setdefault(scores.group(row), {})[named(str(row["song"]))] = value
    return found


def _curves(both: tuple[Folder, Folder]) -> list[tuple[str, Curves]]:
    """Loss and SDR on the valid split of both, over steps."""
    logs = [folder.lines("log.jsonl")[0] for folder in both]
    found = []
    for title, key, unit in (
        ("Loss on the valid split", "valid_loss", "loss"),
        ("SDR on the valid split", "valid_sdr", "SDR in dB"),
    ):
        lines = dict(
            zip(("first", "second"), (training.line(log, key) for log in logs), strict=True)
        )
        drawn = curves(lines)
        if drawn is not None:
            found.append((title, replace(drawn, y_title=unit)))
    return found
