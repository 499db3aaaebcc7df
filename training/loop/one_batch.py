"""`--overfit-one-batch`: does the loss fall when a run learns the same batch again and again?

A net that cannot learn one batch by heart will learn nothing else: the data, the learning rate or
the recipe is wrong. There is no dropout, no remixing and no validation.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from stemlode.runs import Failed
from training.data.examples import Batch
from training.loop.material import Material
from training.recipes import registry
from training.recipes.registry import Recipe
from training.state import Progress

STEPS = 300
SHARE = 0.5  # of the way from the first loss to the least possible one
LAST = 10  # steps whose mean is the final loss


class OneBatch(Material):
    """The first batch of a corpus, again and again."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.validates = False

    def batches(self, progress: Progress) -> Iterator[Batch]:
        """See `Material.batches`."""
        first = next(super().batches(dataclasses.replace(progress, epoch=0, position=0)))
        while True:
            yield first

    def prepare(self, batch: Batch) -> Batch:
        """The batch as it is."""
        return batch


def recipe_of(recipe: Recipe, steps: int | None) -> Recipe:
    """The recipe for such a run: few steps, each in the log, no dropout."""
    steps = steps or STEPS
    values = {"steps": steps, "validate_every": steps, "log_every": 1}
    return registry.override(recipe.without_dropout(), values)


def verdict(recipe: Recipe, log: list[dict[str, Any]]) -> str:
    """A line that says that the loss fell as it should; Failed if it did not."""
    losses = [row["loss"] for row in log]
    first, last = losses[0], sum(losses[-LAST:]) / len(losses[-LAST:])
    share = (first - last) / max(1e-12, first - recipe.least_loss)
    fell = f"on one batch the loss went from {first:.4g} to {last:.4g} in {len(losses):,} steps"
    if share < SHARE:
        raise Failed(
            f"{fell}, {100 * share:.0f} % of the way to {recipe.least_loss:g}; at least "
            f"{100 * SHARE:.0f} % is normal: more --steps, another --learning-rate, or a look at "
            "the corpus' levels"
        )
    return f"{fell}: it learns"
