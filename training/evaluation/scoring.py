"""The scores of one song: of the nets' estimates, of the mixture itself and of an oracle."""

import functools
import hashlib
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stemlode import audio, runs
from stemlode.tables import Row
from training.checkpoint import Checkpoint
from training.evaluation import bsseval
from training.evaluation.references import ReferenceSong
from training.evaluation.spectra import third_octaves_db
from training.evaluation.table import COLUMNS, ROLES, is_silent
from training.models.metrics import energies, ratios_db, silent_frames, usdr_of
from training.recipes.chunks import Chunking
from training.separation.separate import complete, separate
from training.separation.system import Parts, System

CANCELLED_DB = -70.0  # the mean of the channels, re the channels; 16 bits round at -98 dBFS
REST = "accompaniment"
FRAME_S = 1.0  # of cSDR and BSS Eval v4: windows side by side, as in SiSEC 2018


class Stopwatch:
    """Counts the seconds that each kind of work takes."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.seconds: dict[str, float] = {}

    def of(self, name: str, work: Callable[[], Any]) -> Any:
        """What `work` returns; the time it takes is added to this name's."""
        started = self.clock()
        found = work()
        self.seconds[name] = self.seconds.get(name, 0.0) + self.clock() - started
        return found


@dataclass(frozen=True)
class Scorer:
    """How songs are scored: by which metrics, at which rate, where."""

    metrics: Collection[str]
    device: torch.device
    watch: Stopwatch = field(default_factory=Stopwatch)
    rate: int | None = None  # Hz; None for each song's own

    def of_system(self, name: str, song: ReferenceSong, system: System) -> list[Row]:
        """The rows of a song (`training.evaluation.table.SCHEMA`), one for each stem of a system.
        AudioError if a stem's true signal is missing."""

        def by_nets(model: Checkpoint) -> Parts:
            return separate(song.mixture, song.sample_rate, model, system.chunking)

        def by_oracle(model: Checkpoint) -> Parts:
            return oracle(song, model, system.chunking)

        for model in system.models:
            for stem in model.recipe.separated:
                truth(song, stem)  # before a net is asked
        estimate = self.watch.of("nets", lambda: stems_of(song, system, by_nets))
        ideal = self.watch.of("oracle", lambda: stems_of(song, system, by_oracle))
        stems = list(estimate)
        references = {stem: _reference(song, stem, stems, system) for stem in stems}
        return self._rows(name, song, references, {"estimate": estimate, "oracle": ideal})

    def of_estimates(
        self,
        name: str,
        song: ReferenceSong,
        whose: str,
        estimate: Parts,
        system: System | None,
        among: Sequence[str],
    ) -> list[Row]:
        """The rows of a song for estimates that were made elsewhere, of the stems `among` which it
        is divided into, by `system` where that is what they are compared with."""
        references = {stem: _reference(song, stem, among, system) for stem in estimate}
        rows: list[Row] = []
        for stems, scored in _divisions(estimate):
            true = {stem: references[stem] for stem in stems}
            guess = {stem: estimate[stem] for stem in stems}
            found = self._rows(name, song, true, {"estimate": guess})
            rows += [row for row in found if row["source"] in scored]
        return [row | {"system": whose} for row in rows]

    def _rows(
        self, name: str, song: ReferenceSong, references: Parts, found: dict[str, Parts]
    ) -> list[Row]:
        stems = list(references)
        found = {"mixture": dict.fromkeys(stems, song.mixture), **found}
        seconds = song.mixture.shape[1] / song.sample_rate
        rows: dict[str, Row] = {
            stem: {"song": name, "source": stem, "duration_s": seconds} for stem in stems
        }
        rate = self.rate or song.sample_rate
        if rate != song.sample_rate:
            references = _resampled(references, song.sample_rate, rate)
            found = {role: _resampled(p, song.sample_rate, rate) for role, p in found.items()}
        measured = functools.partial(
            _measure, rows, references, found, rate, self.metrics, self.device
        )
        self.watch.of("metrics", measured)
        for role, parts in (("reference", references), ("estimate", found["estimate"])):
            for stem, row in rows.items():
                spectrum = functools.partial(third_octaves_db, parts[stem], rate)
                row[f"spectrum_{role}"] = self.watch.of("spectra", spectrum)
        return list(rows.values())


def _divisions(stems: Collection[str]) -> list[tuple[list[str], list[str]]]:
    """Which stems are scored beside each other, and whose scores these are. An accompaniment stands
    beside the vocals alone, not beside its own parts, as in museval: among these, the interference
    and the artefacts of no stem would mean anything."""
    parts = [stem for stem in stems if stem != REST]
    if REST not in stems or not set(parts) - {"vocals"}:
        return [([*stems], [*stems])]
    return [(parts, parts), ([s for s in stems if s in ("vocals", REST)], [REST])]


def _resampled(parts: Parts, from_rate: int, to_rate: int) -> Parts:
    """Parts at another rate; one array that stands for several is resampled once."""
    done: dict[int, np.ndarray] = {}
    for part in parts.values():
        if id(part) not in done:
            done[id(part)] = audio.resample(np.ascontiguousarray(part), from_rate, to_rate)
    return {name: done[id(part)] for name, part in parts.items()}


def stems_of(song: ReferenceSong, system: System, parts_of: Callable[[Checkpoint], Parts]) -> Parts:
    """The stems that are scored: for one model its source and the rest; for several models their
    sources and `other`, what is left of the mixture (thesis 6.3.2).

    If a song has no guitar but an `other`, as in MUSDB, the estimate of the guitar is added to that
    of `other` (6.2).
    """
    parts: Parts = {}
    single = len(system.models) == 1
    for model in system.models:
        found = parts_of(model)
        parts |= found if single else {name: found[name] for name in system.taken(model)}
    if not single and not {"other", "accompaniment"} & set(parts):
        parts["other"] = song.mixture - np.sum(list(parts.values()), axis=0)
    if "guitar" in parts and "guitar" not in song.sources and "other" in song.sources:
        guitar = parts.pop("guitar")
        parts["other"] = parts["other"] + guitar if "other" in parts else guitar
        if "no_guitar" in parts:
            parts["no_other"] = parts.pop("no_guitar")
    return parts


def truth(song: ReferenceSong, name: str) -> np.ndarray:
    """A source, or `other` for a guitar that is part of it; AudioError where it is not known."""
    is_part = name == "guitar" and name not in song.sources and "other" in song.sources
    return song.source("other" if is_part else name)


def _reference(
    song: ReferenceSong, stem: str, stems: Sequence[str], system: System | None
) -> np.ndarray:
    """The true signal of a stem; for the rest that several nets leave, the sum of all sources that
    are not theirs."""
    if system is None or len(system.models) == 1 or stem in system.estimated:
        return song.source(stem)
    left = [
        samples
        for name, samples in song.sources.items()
        if name == stem or name not in {*stems, "accompaniment"}
    ]
    return np.sum(left, axis=0) if left else np.zeros_like(song.mixture)


@torch.inference_mode()
def oracle(song: ReferenceSong, trained: Checkpoint, chunking: Chunking) -> Parts:
    """The stems that the best mask of the net's kind would give, all else being equal."""
    recipe = trained.recipe
    known = [song.mixture, *(truth(song, name) for name in recipe.separated)]
    mixture, *references = (
        torch.tensor(
            audio.resample(np.ascontiguousarray(part), song.sample_rate, recipe.sample_rate)
        )
        for part in known
    )
    blocks = recipe.separate_by_oracle(mixture, torch.stack(references), chunking)
    return complete(song.mixture, song.sample_rate, torch.cat(list(blocks), dim=-1), trained)


def _measure(
    rows: dict[str, Row],
    references: Parts,
    found: dict[str, Parts],
    rate: int,
    metrics: Collection[str],
    device: torch.device,
) -> None:
    """Fill in the columns of the metrics that are wanted; all signals are at `rate`."""
    stems, window = list(references), round(FRAME_S * rate)
    true = _tensor(list(references.values()), device)
    guess = {role: _tensor([parts[s] for s in stems], device) for role, parts in found.items()}
    signal = energies(true, window)
    error = {role: energies(true - estimates, window) for role, estimates in guess.items()}
    for role, wrong in error.items():
        for stem, value in zip(stems, usdr_of(signal, wrong, true[0].numel()), strict=True):
            rows[stem][f"usdr_{role}"] = float(value)
    # A silent stem has no score, and the others are scored without it.
    sounds = [place for place, stem in enumerate(stems) if not is_silent(rows[stem])]
    heard = [stems[place] for place in sounds]
    absent = {f"csdr_{role}" for role in ROLES if role not in found}
    for row in rows.values():
        row |= {
            column.name: float("nan")
            for column in COLUMNS
            if column.metric in metrics and column.metric != "usdr" and column.name not in absent
        }
    if not heard:
        return
    if len(heard) < len(stems):
        true, guess = true[sounds], {role: part[sounds] for role, part in guess.items()}
    if "csdr" in metrics:
        for role, wrong in error.items():
            silent = silent_frames(true, guess[role], window)
            frames = ratios_db(signal[sounds], wrong[sounds], silent)
            _frames(rows, heard, f"csdr_{role}", np.median, frames)
            if role == "estimate":
                _frames(rows, heard, "sdr_frame_mean", np.mean, frames)
                facts = {"frames": frames.shape[1], "silent_frames": int(silent.sum())}
                rows |= {stem: row | facts for stem, row in rows.items()}
    if "bsseval" in metrics:
        _by_museval(rows, heard, true, guess["estimate"], window)
    if "mir_eval" in metrics:
        _by_mir_eval(rows, heard, true, guess)


def _by_museval(
    rows: dict[str, Row], stems: Sequence[str], true: Tensor, estimate: Tensor, window: int
) -> None:
    ratios = bsseval.bss_eval(true, estimate, window)
    for name in ("isr", "sir", "sar"):
        frames = getattr(ratios, name)
        _frames(rows, stems, f"{name}_frame_median", np.median, frames)
        _frames(rows, stems, f"{name}_frame_mean", np.mean, frames)


def _by_mir_eval(
    rows: dict[str, Row], stems: Sequence[str], true: Tensor, guess: dict[str, Tensor]
) -> None:
    """Score the mean of the channels: the thesis is about mono signals (4.2.2).

    What cancels out there is silent, has no score, and is none of the sources beside the others.
    Where a single one is left of several, it is the mixture itself, and nothing has a score.
    """
    heard = [place for place in range(len(stems)) if not cancels(true[place])]
    if len(heard) < min(2, len(stems)):
        return
    stems, mono = [stems[place] for place in heard], true[heard].mean(1)
    ratios, before = (
        bsseval.bss_eval_sources(mono, guess[role][heard].mean(1))
        for role in ("estimate", "mixture")
    )
    silent = [cancels(guess["estimate"][place]) for place in heard]
    for place, stem in enumerate(stems):
        if silent[place]:
            continue
        rows[stem]["mir_sdr"] = float(ratios.sdr[place])
        rows[stem]["mir_nsdr"] = float(ratios.sdr[place] - before.sdr[place])
        rows[stem]["mir_sir"] = float(ratios.sir[place])
        rows[stem]["mir_sar"] = float(ratios.sar[place])


def cancels(samples: Tensor) -> bool:
    """Whether samples [channels, frames] are silent, or nothing is left of them in the mean of the
    channels but the rounding of their numbers (CANCELLED_DB)."""
    power = samples.double().square().mean()
    left = samples.double().mean(0).square().mean()
    return bool(left <= power * 10 ** (CANCELLED_DB / 10))


def _frames(
    rows: dict[str, Row],
    stems: Sequence[str],
    column: str,
    average: Callable[[np.ndarray], float],
    scores: np.ndarray,
) -> None:
    """An average over the frames that have a finite score; NaN where none has."""
    for stem, frames in zip(stems, scores, strict=True):
        finite = frames[np.isfinite(frames)]
        rows[stem][column] = float(average(finite)) if len(finite) else float("nan")


def _tensor(parts: Sequence[np.ndarray], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(parts)).to(device)


def part_name(name: str) -> str:
    """The file that holds a song's rows until all songs are scored."""
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:32]
    return f"{runs.PARTS}/{digest}.json"
