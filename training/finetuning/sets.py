"""The unlabelled set: mixtures for a teacher in the loop, or shards that a teacher labelled."""

import dataclasses
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from tqdm import tqdm

from stemlode import files, runs, tables
from stemlode.addresses.rules import Rules
from stemlode.audio import activity
from stemlode.runs import BadUsage, Failed, Run
from training.console import tell
from training.data import corpus, origins, windows
from training.data.corpus import Bad, Corpus
from training.finetuning import unlabelled
from training.finetuning.boosting import Segment, SegmentSource
from training.finetuning.unlabelled import ATTEMPTS, Surveyed
from training.recipes.base import Recipe
from training.recipes.values import rest_of
from training.teachers import labels

FILE = "unlabelled.json"
LABELLED = ["sample_id", "kind", "teacher_sha256", "confidence"]
TOLD = 20  # at most so many mixtures that are left out are named on the terminal; FILE has all


@dataclass(frozen=True)
class Unlabelled:
    """A set to draw segments from, with what was left out of it, and counts for run.json."""

    segments: SegmentSource
    rejects: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    learnt_from: list[dict[str, Any]] = field(default_factory=list)  # for `Checkpoint`


def check_mixtures(place: str, *, lossless_only: bool) -> None:
    """Raise BadUsage if a place names no mixtures for `mixtures`; no audio is read."""
    if not is_corpus(place):
        unlabelled.paths(place)
    elif lossless_only:
        raise BadUsage(
            f"--lossless-only: {place} is a corpus, which does not know what its audio was "
            "decoded from; give the audio files"
        )


def mixtures(
    run: Run,
    place: str,
    recipe: Recipe,
    *,
    lossless_only: bool,
    workers: int,
    across: bool = True,
    threshold: str = activity.RELATIVE,
) -> Unlabelled:
    """Mixtures for a teacher in the loop: of the train split of a corpus, or audio files, which are
    surveyed once; a resumed run reads the survey.

    Raises BadUsage or Failed if nothing can be used.
    """
    if is_corpus(place):
        chunks = unlabelled.of_corpus(corpus.open_corpus(place), across=across)
        if not chunks.count:
            raise BadUsage(f"--unlabelled {place}: its train split holds no mixture")
        names = chunks.chunks.index["sample_id"].to_pylist()
        heard = {names[row] for row in np.unique(chunks.pool.rows).tolist()}
        counts = {"unlabelled_windows": chunks.count}
        return Unlabelled(chunks, {}, counts, [origins.of_samples(place, heard)])
    rules = run.rules if unlabelled.is_listed(place) else None
    found = _surveyed(run, place, recipe, lossless_only, workers, threshold, rules)
    rejects = {one.uri: one.reason for one in found if one.reason}
    if len(rejects) == len(found):
        raise Failed(
            f"--unlabelled {place}: none of {len(found)} mixtures can be used; the first one, "
            f"{found[0].uri}: {found[0].reason}"
        )
    held = unlabelled.of_files(found, rules)
    counts = {"unlabelled_mixtures": len(found), "unlabelled_rejected": len(rejects)}
    counts |= {"unlabelled_used": len(held.uris), "unlabelled_windows": held.count}
    used = [(one.licence, one.duration_s) for one in found if not one.reason]
    return Unlabelled(held, rejects, counts, [origins.of_recordings(place, used)])


def shards(
    place: str, recipe: Recipe, teacher_sha256: str, min_confidence: float, checkpoint: str
) -> Unlabelled:
    """Segments of a corpus that `stemlode pseudolabel` wrote.

    Raises BadUsage if it is no such corpus or holds another source, Failed if a teacher other than
    this one labelled it.
    """
    if not is_corpus(place):
        raise BadUsage(
            f"--unlabelled {place}: --mode offline needs a folder that `stemlode pseudolabel` wrote"
        )
    data = corpus.open_corpus(place)
    facts = _facts(data)
    if not len(facts):
        raise Failed(
            f"--unlabelled {place}: holds no segment; its run.json says what became of all"
        )
    teachers = set(facts["teacher_sha256"].drop_null().to_pylist())
    if not teachers:
        raise BadUsage(
            f"--unlabelled {place}: no teacher labelled this corpus; use --mode online, or give a "
            "folder that `stemlode pseudolabel` wrote"
        )
    stale = sorted(teachers - {teacher_sha256})
    if stale:
        raise Failed(
            f"--unlabelled {place}: stale: teacher {stale[0][:12]} labelled it, and {checkpoint} "
            f"is {teacher_sha256[:12]}; label anew by {command(checkpoint, recipe.target)}"
        )
    rows, sides = _rows(data, facts, recipe.target, min_confidence)
    if not len(rows):
        raise Failed(
            f"--unlabelled {place}: no segment of {recipe.target} with a confidence of "
            f"{min_confidence:g} or more"
        )
    kinds = Counter(str(kind) for kind in rows["kind"].to_pylist())
    counts = {f"labelled_{kind}": kinds[kind] for kind in labels.KINDS}
    counts["labelled_left_out"] = len(facts) - len(rows)
    segments = LabelledSegments(data.folder, rows, recipe.target, sides)
    learnt = origins.of_samples(place, set(rows["sample_id"].to_pylist()))
    return Unlabelled(segments, {}, counts, [learnt])


def command(checkpoint: str, target: str) -> str:
    """The command that labels mixtures with a checkpoint as teacher."""
    return (
        f"`stemlode pseudolabel --catalog CATALOGUE --teacher {checkpoint} --target {target} "
        "--output NEW`"
    )


@dataclass(frozen=True)
class LabelledSegments:
    """Segments with labels: see `boosting.SegmentSource`."""

    folder: str
    rows: pa.Table  # of the index
    target: str
    rest: str

    def draw(
        self, rng: random.Random, shape: tuple[int, int], rate: int, rejects: list[Bad]
    ) -> Segment:
        """Each segment is equally likely."""
        for _ in range(ATTEMPTS):
            (row,) = self.rows.slice(rng.randrange(len(self.rows)), 1).to_pylist()
            place = rng.random()
            try:
                return self._read(row, place, shape, rate)
            except windows.UNREADABLE as error:
                rejects.append(Bad(row["sample_id"], runs.reason(error)))
        bad = rejects[-1]
        raise Failed(
            f"--unlabelled {self.folder}: {ATTEMPTS} segments in turn cannot be read; the last "
            f"one, {bad.key}: {bad.reason}"
        )

    def _read(
        self, row: dict[str, Any], place: float, shape: tuple[int, int], rate: int
    ) -> Segment:
        start_s = place * max(0.0, row["duration_s"] - shape[1] / rate)

        def piece(source: str) -> Tensor:
            return windows.read(self.folder, row, source, start_s, shape, rate)

        outcome = labels.KINDS.index(row["kind"])
        if outcome == labels.PSEUDO:
            target, rest = piece(self.target), piece(self.rest)
            return Segment(row["sample_id"], target + rest, target, outcome)
        is_target = outcome == labels.CLEAN_TARGET
        mixture = piece(self.target if is_target else self.rest)
        target = mixture if is_target else torch.zeros_like(mixture)
        return Segment(row["sample_id"], mixture, target, outcome)


def _surveyed(
    run: Run,
    place: str,
    recipe: Recipe,
    lossless_only: bool,
    workers: int,
    threshold: str,
    rules: Rules | None,
) -> list[Surveyed]:
    if files.exists(run.path(FILE)):
        return _read(run.path(FILE))
    known, found = unlabelled.stated(place), []
    heard = unlabelled.survey(
        known,
        recipe,
        lossless_only=lossless_only,
        workers=workers,
        threshold=threshold,
        rules=rules,
    )
    for one in tqdm(heard, "unlabelled", len(known), unit="file", disable=None):
        found.append(one)
        if one.reason and sum(bool(other.reason) for other in found) <= TOLD:
            tell(f"left out {one.uri}: {one.reason}")
    data = [dataclasses.asdict(one) for one in found]
    files.write_bytes(run.path(FILE), runs.to_json(data))
    return found


def _read(path: str) -> list[Surveyed]:
    try:
        rows = json.loads(files.read_bytes(path))
        return [
            Surveyed(
                str(row["uri"]),
                tuple(float(start) for start in row["starts"]),
                float(row["duration_s"]),
                str(row["reason"]),
                str(row.get("licence") or ""),
            )
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"{path}: damaged: {runs.reason(error)}; start over with --overwrite"
        raise Failed(why) from error


def is_corpus(place: str) -> bool:
    if not files.exists(files.join(place, runs.SUCCESS)):
        return False
    outputs = runs.record(place)["outputs"]
    return any(name.startswith("index-") for name in outputs)


def _facts(data: Corpus) -> pa.Table:
    """The labels' columns of an index, its rows in the order of `open_corpus`."""
    outputs = runs.record(data.folder)["outputs"]
    parts = [files.join(data.folder, name) for name in sorted(outputs) if name[:6] == "index-"]
    return pa.concat_tables([tables.read_part(path, LABELLED) for path in parts])


def _rows(
    data: Corpus, facts: pa.Table, target: str, min_confidence: float
) -> tuple[pa.Table, str]:
    """The rows of the index that can be used, and the name of the other side."""
    rest, kinds = rest_of(target), facts["kind"].to_pylist()
    needed = {"pseudo": {target, rest}, "clean_target": {target}, "clean_residual": {rest}}
    held = data.index["sources"].to_pylist()
    sure = np.array(facts["confidence"].to_pylist(), np.float64) >= min_confidence
    usable = [
        kind in needed and needed[kind] <= set(names)
        for kind, names in zip(kinds, held, strict=True)
    ]
    wanted = pa.array(np.array(usable) & sure, pa.bool_())
    rows = data.index.append_column("kind", facts["kind"]).filter(wanted)
    return rows.combine_chunks(), rest
