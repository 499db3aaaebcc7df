"""What of a corpus teaches a recipe, and what does not and why; for the user, and for the record
that travels with each checkpoint.

A set that taught is {"set": its folder's name, "samples", "songs", "hours", "licences": hours by
licence ("" where none is stated)}, and of what a teacher labelled {"labelled_by": [hashes]}.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stemlode import files, runs, tables
from training.data.corpus import Corpus
from training.data.windows import HOME, needs
from training.recipes.base import Recipe
from training.recipes.values import rest_of

_WANTED = ["sample_id", "song_id", "duration_s", "licence", "teacher_sha256"]
NAMED = 3  # samples of a reason, on the terminal; run.json names more
LISTED = 100  # samples of a reason, in run.json


def lacks(sources: Iterable[str], recipe: Recipe) -> str:
    """Why a sample with these sources teaches a recipe nothing; empty where it does."""
    held, target, rest = set(sources), recipe.target, rest_of(recipe.target)
    if recipe.mixing is not None:
        wanted = {*recipe.mixing.sources, rest}
        return "" if held & wanted else f"hold none of {', '.join(sorted(wanted))}"
    if needs(held, target):
        return ""
    if "mixture" in held:
        return f"hold no {target} beside the mixture"
    if target in held or rest in held:
        return f"hold {' and '.join(sorted(held))} alone, without a mixture"
    return f"hold {' and '.join(sorted(held)) or 'nothing'}, but no mixture and no {target}"


def unused(data: Corpus, recipe: Recipe, split: str = "train") -> dict[str, list[str]]:
    """The samples of a split that teach nothing, by the reason."""
    found: dict[str, list[str]] = defaultdict(list)
    rows = data.of(split)
    for name, sources in zip(
        rows["sample_id"].to_pylist(), rows["sources"].to_pylist(), strict=True
    ):
        if why := lacks(sources, recipe):
            found[why].append(name)
    return dict(sorted(found.items()))


def line(data: Corpus, recipe: Recipe) -> str:
    """How much of the train split teaches, and why the rest does not."""
    total, left = len(data.of("train")), unused(data, recipe)
    count = total - sum(map(len, left.values()))
    if not left:
        return f"learns from all {total:,} samples of the train split"
    reasons = "; ".join(
        f"{len(names):,} {why} (such as {', '.join(names[:NAMED])})" for why, names in left.items()
    )
    return f"learns from {count:,} of the {total:,} samples of the train split: {reasons}"


def of(data: Corpus, recipe: Recipe) -> list[dict[str, Any]]:
    """The sets that teach a recipe, each corpus by itself."""
    rows = data.of("train")
    taught = [not lacks(sources, recipe) for sources in rows["sources"].to_pylist()]
    rows = rows.filter(pa.array(taught, pa.bool_()))
    homes = rows[HOME].to_pylist() if HOME in rows.column_names else [None] * len(rows)
    used: dict[str, set[str]] = {data.folder: set()}
    for home, name in zip(homes, rows["sample_id"].to_pylist(), strict=True):
        used.setdefault(home or data.folder, set()).add(name)
    return [of_samples(folder, names) for folder, names in used.items()]


def of_samples(folder: str, names: set[str]) -> dict[str, Any]:
    """A corpus as a set that taught, of which these samples were used."""
    parts = [p for p in runs.record(folder)["outputs"] if p.startswith("index-")]
    held = [tables.read_part(files.join(folder, part), _WANTED) for part in sorted(parts)]
    index = pa.concat_tables(held, promote_options="default")
    songs, teachers = set(), set()
    seconds: Counter[str] = Counter()
    for row in index.to_pylist():
        if row["sample_id"] in names:
            songs.add(row["song_id"])
            seconds[row.get("licence") or ""] += row["duration_s"]
            teachers |= {row["teacher_sha256"]} if row.get("teacher_sha256") else set()
    hours = {name: round(found / 3600, 4) for name, found in sorted(seconds.items())}
    facts = {
        "set": folder.rstrip("/").rpartition("/")[2],
        "samples": len(names),
        "songs": len(songs),
        "hours": round(seconds.total() / 3600, 4),
        "licences": hours,
    }
    return facts | ({"labelled_by": sorted(teachers)} if teachers else {})


def song_name(data: Corpus, song_id: str) -> str:
    """What people call a song of a corpus; its id where nothing says."""
    homes = data.index[HOME].unique().to_pylist() if HOME in data.index.column_names else []
    for folder in dict.fromkeys([data.folder, *(home for home in homes if home)]):
        for part in sorted(runs.record(folder)["outputs"]):
            if part.startswith("songs"):
                table = tables.read_part(files.join(folder, part), ["song_id", "name"])
                row = pc.index(table["song_id"], song_id).as_py()
                if row >= 0 and (found := table["name"][row].as_py()):
                    return str(found)
    return song_id


def of_recordings(place: str, used: Iterable[tuple[str, float]]) -> dict[str, Any]:
    """Audio files as a set that taught, each with its licence ("" for none) and its seconds."""
    seconds: dict[str, float] = defaultdict(float)
    count = 0
    for licence, length in used:
        seconds[licence] += length
        count += 1
    hours = {name: round(found / 3600, 4) for name, found in sorted(seconds.items())}
    facts = {"set": place.rstrip("/").rpartition("/")[2], "samples": count, "songs": count}
    return facts | {"hours": round(sum(seconds.values()) / 3600, 4), "licences": hours}
