"""What a run learns from and is validated on; the loop in train.py uses only these methods.

`Material` is a corpus. Fine-tuning, which also learns from a teacher's estimates of unlabelled
songs, subclasses it and overrides what differs. The loop calls:

    restore(tensors, facts)     once, where a run resumes, before anything else
    begin(nets, progress)       once, where it does not
    batches(progress)           once; from then on `next` of it, one step ahead of the training
    prepare(batch)              at each step, right before it is learnt from
    validate(nets)              at every validation
    previews(nets)              then, in the first process alone, for what can be heard
    after_validation(…)         right after it
    tensors(), facts()          whenever the run's state is saved
    lineage(), learnt_from(), parents()     for each checkpoint
    counts(), record()          for run.json

What depends on weights or draws random numbers belongs in `prepare`: `batches` runs ahead of the
training, so there a resumed run would see other weights.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from stemlode.runs import Failed, Run
from training.console import tell
from training.data import corpus, mixing, origins
from training.data.corpus import Corpus, Window, Windows
from training.data.examples import Batch, TrainingSet, batch_of, remix, to_device
from training.data.levels import levels
from training.data.windows import pieces
from training.devices import ALONE, World
from training.loop import balance, previews
from training.loop.options import PIECES, SONGS, Options
from training.loop.previews import Preview
from training.loop.warm_start import WarmStart
from training.models.metrics import EPSILON
from training.recipes.registry import Recipe
from training.state import Progress


class Material:
    """A corpus, as a recipe learns from it."""

    def __init__(
        self,
        run: Run,
        data: Corpus,
        recipe: Recipe,
        options: Options,
        device: torch.device,
        world: World = ALONE,
        start: WarmStart | None = None,
    ) -> None:
        """May read the whole corpus once (`training.data.levels`)."""
        self.start = start
        self.data, self.recipe, self.options, self.device = data, recipe, options, device
        self.world = world
        if not world.first:
            world.shared(None)  # until the first one has written the levels
        self.levels, self.rejects = levels(run, data, recipe, options.workers, device)
        if world.first:
            world.shared(None)
        if world.first:
            tell(origins.line(data, recipe))
        self.validates = bool(data.usable("valid", recipe.target))
        if not self.validates and world.first:
            tell("the corpus has no valid split, so nothing says when to stop early")
        self.cache_bytes = int(options.cache_gb * 1e9 / max(1, options.workers))
        valid = Windows(
            data,
            "valid",
            recipe,
            cache_bytes=self.cache_bytes // 4,
            world=world,
        )
        self.valid = corpus.loader(valid, options.workers, ahead=recipe.batch_size)
        self.loudest: dict[str, tuple[Window, float]] = {}  # by song: a sample, and its power
        self.titles: dict[str, str] = {}  # by song, of those
        self.origins: list[dict[str, Any]] | None = None  # of what it learns from, once read
        self.judged: tuple[Tensor, ...] = ()  # some of what was validated on first

    def begin(self, nets: nn.Module, progress: Progress) -> list[dict[str, Any]]:
        """Do what a new run needs before its first step; return the log's first lines.

        May set `progress.best_loss` if the initial weights count as a result.
        """
        return []

    def batches(self, progress: Progress) -> Iterator[Batch]:
        """An endless stream of batches on the device, from `progress` on.

        Sets `progress.epoch` and `.position` to what is used up after the batch that it just gave,
        and notes samples that cannot be used in `rejects`.
        """
        training_set = TrainingSet(
            self.data,
            self.recipe,
            self.levels,
            seed=self.options.seed,
            workers=self.options.workers,
            cache_bytes=self.cache_bytes,
            device=self.device,
            world=self.world,
            across=self.options.sampling == SONGS,
        )
        made = mixing.batches(training_set, progress, self.rejects)
        known = len(self.rejects)
        for batch in made:
            for name in list(self.rejects)[known:]:
                tell(f"left out {name}: {self.rejects[name]}")
            known = len(self.rejects)
            yield to_device(batch, self.device)

    def prepare(self, batch: Batch) -> Batch:
        """The batch as it is learnt from; may draw random numbers from torch."""
        return remix(batch, self.recipe) if self.recipe.remixes else batch

    @torch.no_grad()
    def validate(self, nets: nn.Module) -> dict[str, float]:
        """Scores for the log. `valid_loss` decides which step is the best (lower is better): the
        mean over the songs of the valid split of a song's loss for one patch's length. `valid_sdr`
        is the mean over songs of the target's signal-to-distortion ratio in dB; `valid_loss_NAME`
        that of a loss by its name (`Judged.terms`).

        Songs are cut into pieces of a patch's length, at the level of training, so the nets are
        judged by what they will be used for. Empty if `validates` is false; then the training loss
        decides. Several processes share the songs, so all must call it.
        """
        if not self.validates:
            return {}
        recipe = self.recipe
        songs: dict[str, Tally] = defaultdict(Tally)
        for held in batched(self._judged(), recipe.batch_size * recipe.patch_samples):
            batch = to_device(batch_of(held, self.levels), self.device)
            target = torch.where(
                batch.residual[:, None, None], batch.mixture - batch.reference, batch.reference
            )
            peak = torch.ones(len(held), 1, 1, device=self.device)
            if recipe.mixing is not None and self.options.validation == PIECES:
                peak = mixing.peaks(batch.mixture, target)
            given = (batch.mixture / peak, batch.reference / peak, *batch.given[2:])
            judged = recipe.judge_given(nets, *given)
            if not self.judged and len(judged.terms) > 1 and self.world.first:
                # Half of what is learnt from at once: this is in fp32, and with gradients.
                some = max(1, recipe.batch_size // (2 * self.world.size * recipe.accumulate))
                self.judged = tuple(part[:some] for part in given)
            patches = 1.0 if recipe.summed else batch.mixture.shape[-1] / recipe.patch_samples
            power = target.square().sum((1, 2))
            columns = {"loss": judged.loss * patches, "power": power}
            if judged.estimate is not None:
                error = target - judged.estimate() * peak
                columns["error"] = error.square().sum((1, 2))
            columns |= {f"loss_{name}": term * patches for name, term in judged.terms.items()}
            found = torch.stack([column.double() for column in columns.values()], dim=1)
            for window, values in zip(held, found.tolist(), strict=True):
                song = songs[window.song]
                seen = window.mixture.shape[-1] / recipe.patch_samples
                song.add(dict(zip(columns, values, strict=True)), seen)
        return scores(self.world.gathered(dict(songs)), self.data.folder)

    @torch.no_grad()
    def previews(self, nets: nn.Module) -> list[Preview]:
        """The loudest samples of the first songs that were validated, with the nets' estimates;
        none of nets that do not separate."""
        recipe, found = self.recipe, []
        if not recipe.separates:
            return []
        for window, _ in self.loudest.values():
            song_id = window.song.partition(" ")[0]
            if song_id not in self.titles:
                self.titles[song_id] = origins.song_name(self.data, song_id)
            level = 1.0 if self.levels is None else self.levels[window.song]
            both = (window.mixture, window.reference)
            mixture, reference = (previews.middle(part, recipe.sample_rate) for part in both)
            given = (mixture / level if level else mixture)[None].to(self.device)
            parts = given.split(recipe.patch_samples, dim=-1)
            estimate = torch.cat([recipe.estimate(nets, part)[0, 0] for part in parts], dim=-1)
            target = mixture - reference if window.residual else reference
            found.append(Preview(mixture, estimate.cpu() * level, target, self.titles[song_id]))
        return found

    def _judged(self) -> Iterator[Window]:
        """What is validated on: pieces of a patch's length, or, in runs that began so, samples."""
        for window in self._valid_windows():
            self._note(window)
            cut = self.options.validation == PIECES
            yield from pieces(window, self.recipe.patch_samples) if cut else [window]

    def _note(self, window: Window) -> None:
        """Keep the loudest sample of each of the first songs."""
        if window.song in self.loudest or len(self.loudest) < previews.SONGS:
            mixture, reference = window.mixture, window.reference
            target = mixture - reference if window.residual else reference
            power, held = float(target.square().sum()), self.loudest.get(window.song)
            if held is None or power > held[1]:
                self.loudest[window.song] = window, power

    def _valid_windows(self) -> Iterator[Window]:
        for item in self.valid:
            if isinstance(item, Window):
                yield item
            elif item is not None and item.key not in self.rejects:
                self.rejects[item.key] = item.reason
                tell(f"left out {item.key}: {item.reason}")

    def after_validation(
        self, nets: nn.Module, scores: dict[str, float], progress: Progress, *, best: bool
    ) -> dict[str, Any]:
        """Do what follows a validation (replace a teacher); return facts for the log.

        `nets` are those that were validated, and `best` says whether they are the best so far. All
        processes call it, with the same scores. Here: how the losses of several tasks pull.
        """
        return balance.gradient_norms(self.recipe, nets, self.judged) if self.judged else {}

    def tensors(self) -> dict[str, Tensor]:
        """Tensors that are saved with the state, for a run that resumes."""
        return {}

    def facts(self) -> dict[str, Any]:
        """JSON values that are saved with the state, for a run that resumes."""
        return {}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what `tensors` and `facts` gave. KeyError, ValueError or RuntimeError if it
        does not fit; the loop then says that the file is damaged."""

    def lineage(self) -> list[dict[str, Any]]:
        """The teachers so far, for the checkpoint (`Checkpoint.teachers`)."""
        taught = self.data.salience
        return [] if taught is None else [{"pitch": taught.teacher, "targets": taught.targets}]

    def learnt_from(self) -> list[dict[str, Any]]:
        """The sets that teach, for each checkpoint."""
        if self.origins is None:
            self.origins = origins.of(self.data, self.recipe)
        return self.origins

    def parents(self) -> list[dict[str, Any]]:
        """The checkpoints that this one comes from, for each checkpoint."""
        return [self.start.parent] if self.start else []

    def record(self) -> dict[str, Any]:
        """Further facts for run.json."""
        started = {"started_from": self.start.facts} if self.start else {}
        left = origins.unused(self.data, self.recipe)
        unused = {"unused": {why: names[: origins.LISTED] for why, names in left.items()}}
        return started | (unused if left else {})

    def counts(self) -> dict[str, int]:
        """For run.json."""
        return {
            "samples_train": self.data.usable("train", self.recipe.target),
            "samples_valid": self.data.usable("valid", self.recipe.target),
            "rejected": len(self.rejects),
        }


@dataclass
class Tally:
    """A song's sums over its samples, by name: loss, loss_NAME, power (of the target), error (of
    the target minus the estimate)."""

    patches: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, sums: dict[str, float], patches: float = 0.0) -> None:
        """Count more samples."""
        self.patches += patches
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value


def scores(ranks: list[dict[str, Tally]], folder: str) -> dict[str, float]:
    """Means over songs, from the sums of all processes; a silent target has no SDR.

    Raises Failed if no sample could be used.
    """
    songs: dict[str, Tally] = defaultdict(Tally)
    for found in ranks:
        for name, part in sorted(found.items()):
            songs[name].add(part.sums, part.patches)
    if not songs:
        raise Failed(
            f"--corpus {folder}: the corpus has no sample in its valid split that can be used"
        )
    every = list(songs.values())
    losses = {
        f"valid_{name}": sum(song.sums[name] / song.patches for song in every) / len(every)
        for name in every[0].sums
        if name.startswith("loss")
    }
    ratios = [
        10 * math.log10((song.sums["power"] + EPSILON) / (song.sums["error"] + EPSILON))
        for song in every
        if song.sums["power"] > 0 and math.isfinite(song.sums.get("error", math.inf))
    ]
    return losses | ({"valid_sdr": sum(ratios) / len(ratios)} if ratios else {})


def batched(windows: Iterable[Window], samples: int) -> Iterator[list[Window]]:
    """Windows in batches that, when padded, hold at most `samples` samples."""
    held: list[Window] = []
    for window in windows:
        longest = max(one.mixture.shape[-1] for one in [*held, window])
        if held and longest * (len(held) + 1) > samples:
            yield held
            held = []
        held.append(window)
    if held:
        yield held
