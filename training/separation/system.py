"""Checkpoints that separate a song together."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stemlode.runs import BadUsage
from training.checkpoint import Checkpoint
from training.recipes.chunks import Chunking

RESIDUAL = "residual"
Parts = dict[str, np.ndarray]  # float32 [channels, frames] by stem


@dataclass(frozen=True)
class System:
    """Models, and how a song is cut for them.

    One model gives all its stems. Of several models each gives the sources that it separates. A
    net for the accompaniment masks the vocals; beside a model of the vocals it gives the
    accompaniment, as in the thesis, where two independent nets are one system (4.2.2).

    Raises BadUsage if two models give the same stem, if one does not separate, or if songs shall
    be whole for a model that takes chunks alone.
    """

    models: Sequence[Checkpoint]
    chunking: Chunking = field(default_factory=Chunking)
    residual: bool = False  # whether what several models leave of a mixture is a stem too

    def __post_init__(self) -> None:
        for model in self.models:
            if not model.recipe.separates:
                raise BadUsage(f"--checkpoint: {model.recipe.name} separates no mixtures")
            if self.chunking.whole and not model.recipe.takes_whole:
                raise BadUsage(f"--chunks whole: {model.recipe.name} takes songs in chunks alone")
        given = self.estimated
        for name in given:
            if given.count(name) > 1:
                raise BadUsage(f"--checkpoint: two of the models estimate {name}; name one of them")

    @property
    def estimated(self) -> tuple[str, ...]:
        """The stems that the models give, without what they leave of a mixture."""
        return tuple(name for model in self.models for name in self.taken(model))

    @property
    def stems(self) -> tuple[str, ...]:
        """Everything that a song is separated into."""
        if len(self.models) == 1:
            return self.models[0].recipe.stems
        return (*self.estimated, RESIDUAL) if self.residual else self.estimated

    def taken(self, model: Checkpoint) -> tuple[str, ...]:
        """The stems that come from this model: the sources that it separates, or those that it was
        trained for, if another model was trained for the first."""
        recipe = model.recipe
        others = {name for one in self.models if one is not model for name in one.recipe.estimated}
        return recipe.estimated if others & set(recipe.separated) else recipe.separated

    def parts(self, model: Checkpoint, mixture: np.ndarray, found: np.ndarray) -> Parts:
        """The model's stems of a mixture [channels, frames], from what it separated, float32
        [sources, channels, frames]."""
        given = dict(zip(model.recipe.separated, found, strict=True))
        return {
            name: given[name] if name in given else mixture - found.sum(0)
            for name in self.taken(model)
        }
