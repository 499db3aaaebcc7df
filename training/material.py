"""What a run learns from and is judged by; the loop in train.py knows it by these methods alone.

`Material` is a corpus. Who learns from something else (fine-tuning: a teacher's estimates of
unlabelled songs) subclasses it and overrides what differs. The loop calls:

    restore(tensors, facts)     once, where a run resumes, before anything else
    begin(nets, progress)       once, where it does not
    batches(progress)           once; from then on `next` of it, one step ahead of the training
    prepare(batch)              at each step, right before it is learnt from
    validate(nets)              at every validation
    after_validation(…)         right after it
    tensors(), facts()          whenever the run's state is saved

What depends on weights or draws random numbers belongs into `prepare`, for `batches` runs ahead:
a killed run that resumes would see other weights there.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.runs import Run
from training import corpus, mixing
from training.console import tell
from training.corpus import Corpus, Window, Windows
from training.examples import Batch, batch_of, remix, to_device
from training.levels import levels
from training.recipes import Recipe
from training.state import Progress
from training.train_options import Options


class Material:
    """A corpus, as a recipe learns from it."""

    def __init__(
        self, run: Run, data: Corpus, recipe: Recipe, options: Options, device: torch.device
    ) -> None:
        """May read the whole corpus once (`training.levels`)."""
        self.data, self.recipe, self.options, self.device = data, recipe, options, device
        self.levels, self.rejects = levels(run, data, recipe, options.workers, device)
        self.validates = bool(data.usable("valid", recipe.target))
        if not self.validates:
            tell("the corpus has no valid split, so nothing says when to stop early")
        self.cache_bytes = int(options.cache_gb * 1e9 / max(1, options.workers))
        valid = Windows(data, "valid", recipe, cache_bytes=self.cache_bytes // 4)
        self.valid = corpus.loader(valid, options.workers, ahead=recipe.batch_size)

    def begin(self, nets: nn.Module, progress: Progress) -> list[dict[str, Any]]:
        """Whatever a new run needs before its first step; the log's first lines.

        May set `progress.best_loss` for weights that are worth something already.
        """
        return []

    def batches(self, progress: Progress) -> Iterator[Batch]:
        """Batches without end, on the device, from where `progress` says.

        Keeps `progress.epoch` and `.position` at what is used up once the batch it just gave is
        learnt from, and notes samples that cannot be used in `rejects`.
        """
        made = mixing.batches(
            self.data,
            self.recipe,
            self.levels,
            progress,
            self.rejects,
            seed=self.options.seed,
            workers=self.options.workers,
            cache_bytes=self.cache_bytes,
            device=self.device,
        )
        return (to_device(batch, self.device) for batch in made)

    def prepare(self, batch: Batch) -> Batch:
        """The batch as it is learnt from, with torch's random state."""
        return remix(batch, self.recipe) if self.recipe.remixes else batch

    @torch.no_grad()
    def validate(self, nets: nn.Module) -> dict[str, float]:
        """Scores for the log. `valid_loss`, the lower the better, says which step is the best: the
        mean over the valid split's songs of the loss, each song's as if of one patch's length.

        Empty where `validates` is false; the training loss decides then.
        """
        if not self.validates:
            return {}
        recipe = self.recipe
        losses: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        windows = (item for item in self.valid if isinstance(item, Window))
        for held in batched(windows, recipe.batch_size * recipe.patch_samples):
            batch = to_device(batch_of(held, self.levels), self.device)
            found = recipe.losses(nets, batch.mixture, batch.reference, batch.residual)
            patches = 1.0 if recipe.summed else batch.mixture.shape[-1] / recipe.patch_samples
            for window, loss in zip(held, found.tolist(), strict=True):
                losses[window.song][0] += loss * patches
                losses[window.song][1] += window.mixture.shape[-1] / recipe.patch_samples
        return {
            "valid_loss": sum(loss / patches for loss, patches in losses.values())
            / max(1, len(losses))
        }

    def after_validation(
        self, nets: nn.Module, scores: dict[str, float], progress: Progress, *, best: bool
    ) -> dict[str, Any]:
        """Whatever shall follow a validation (a teacher that learns); facts for the log.

        `nets` are those that were validated, and `best` says whether they are the best so far.
        """
        return {}

    def tensors(self) -> dict[str, Tensor]:
        """What else a killed run needs, besides `facts`: saved with its state."""
        return {}

    def facts(self) -> dict[str, Any]:
        """JSON that a killed run needs."""
        return {}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """What `tensors` and `facts` gave, back; KeyError, ValueError or RuntimeError where it
        does not fit, which the loop tells as a damaged file."""

    def lineage(self) -> list[dict[str, Any]]:
        """The teachers so far, for the checkpoint (`Checkpoint.teachers`)."""
        return []

    def record(self) -> dict[str, Any]:
        """Further facts for run.json."""
        return {}

    def counts(self) -> dict[str, int]:
        """For run.json."""
        return {
            "samples_train": self.data.usable("train", self.recipe.target),
            "samples_valid": self.data.usable("valid", self.recipe.target),
            "rejected": len(self.rejects),
        }


def batched(windows: Iterable[Window], samples: int) -> Iterator[list[Window]]:
    """Windows in batches that, padded, hold no more samples than a batch of training examples."""
    held: list[Window] = []
    for window in windows:
        longest = max(one.mixture.shape[-1] for one in [*held, window])
        if held and longest * (len(held) + 1) > samples:
            yield held
            held = []
        held.append(window)
    if held:
        yield held
