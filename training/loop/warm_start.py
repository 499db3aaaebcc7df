"""`train RECIPE --from CHECKPOINT`: the weights of another net, as far as they fit."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from stemlode.runs import BadUsage
from training import checkpoint
from training.recipes.base import Recipe

NAMED = 4  # tensors that start anew, on the terminal; run.json names all


@dataclass(frozen=True)
class WarmStart:
    """Weights to begin with, by their names in the nets of a recipe."""

    weights: dict[str, Tensor]
    facts: dict[str, Any]  # for run.json
    parent: dict[str, Any] = field(default_factory=dict)  # for `Checkpoint.parents`

    def check(self, recipe: Recipe) -> None:
        """BadUsage if some of what the recipe does not learn is not among the weights."""
        for name in self.facts["starts_anew"]:
            if name.startswith(recipe.needs_weights):
                raise BadUsage(
                    f"--from {self.facts['checkpoint']}: it is of {self.facts['recipe']} and holds "
                    f"no {name}, which {recipe.name} does not learn"
                )

    def line(self) -> str:
        """What is taken and what is not, for the user."""
        anew, unused = self.facts["starts_anew"], self.facts["not_used"]
        parts = [f"takes {len(self.weights)} tensors from {self.facts['checkpoint']}"]
        if anew:
            parts.append(f"{_some(anew)} start anew")
        if unused:
            parts.append(f"no place for its {_some(unused)}")
        return "; ".join(parts)


def read(folder: str, recipe: Recipe) -> WarmStart:
    """What of a checkpoint fits a recipe: tensors of the same name, shape and type.

    Raises BadUsage if there is no checkpoint or nothing of it fits, Failed if it is damaged.
    """
    try:
        trained = checkpoint.load(folder)
    except BadUsage as error:
        raise BadUsage(str(error).replace("--checkpoint", "--from", 1)) from error
    with torch.device("meta"):
        wanted = recipe.nets().state_dict()
    given = trained.core.state_dict()
    fitting = {
        name: tensor
        for name, tensor in given.items()
        if name in wanted
        and (tensor.shape, tensor.dtype) == (wanted[name].shape, wanted[name].dtype)
    }
    if not any(tensor.dim() for tensor in fitting.values()):
        raise BadUsage(
            f"--from {folder}: it is of {trained.recipe.name}, of which nothing fits {recipe.name}"
        )
    facts = {
        "checkpoint": folder,
        "sha256": trained.sha256,
        "recipe": trained.recipe.name,
        "taken": len(fitting),
        "starts_anew": [_shaped(name, wanted) for name in wanted if name not in fitting],
        "not_used": [_shaped(name, given) for name in given if name not in fitting],
    }
    return WarmStart(fitting, facts, trained.descent("its weights were begun with"))


def _shaped(name: str, tensors: dict[str, Tensor]) -> str:
    return f"{name} {list(tensors[name].shape)}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
