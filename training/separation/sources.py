"""A trained net over a whole signal at the model's rate, whatever its family."""

from collections.abc import Iterator

import torch
from torch import Tensor

from training.checkpoint import Checkpoint
from training.models.spectrogram import Signal
from training.recipes.base import Recipe, rest_of
from training.recipes.unet import UNetRecipe
from training.separation import chunks, masking
from training.separation.chunks import Chunking


def estimated(recipe: Recipe) -> tuple[str, ...]:
    """The sources that the net itself gives."""
    return (masking.lead(recipe),) if isinstance(recipe, UNetRecipe) else recipe.estimated


def stems(recipe: Recipe) -> tuple[str, ...]:
    """All that a song is separated into: of a net for one source also what is left."""
    found = estimated(recipe)
    return found if len(found) > 1 else (*found, rest_of(found[0]))


@torch.inference_mode()
def estimates(signal: Signal, trained: Checkpoint, chunking: Chunking) -> Iterator[Tensor]:
    """The sources `estimated` of a signal: blocks [sources, channels, samples] in turn.

    The magnitude U-Net masks the spectrogram of the whole song, normalised by its maximum; the
    others estimate chunk by chunk.
    """
    recipe, core = trained.recipe, trained.core
    if isinstance(recipe, UNetRecipe):
        masks = masking.lead_masks(signal, recipe, core)
        for block in masking.masked(signal, masks, recipe):
            yield block[None]
        return
    device = next(core.parameters()).device
    yield from chunks.overlap_add(
        signal, recipe.sample_rate, lambda batch: recipe.estimate(core, batch.to(device)), chunking
    )


@torch.inference_mode()
def oracle(mixture: Tensor, references: Tensor, recipe: Recipe, chunking: Chunking) -> Tensor:
    """What the best mask of the net's kind gives of a mixture [channels, samples] whose sources
    `estimated` are known, [sources, channels, samples]: their shape."""
    if isinstance(recipe, UNetRecipe):
        masks = masking.ideal_masks(mixture, references[0], recipe)
        return torch.cat(list(masking.masked(mixture, masks, recipe)), dim=1)[None]
    channels = len(mixture)

    def ideal(batch: Tensor) -> Tensor:
        parts = batch.unflatten(1, (-1, channels))  # [batch, 1 + sources, channels, samples]
        return recipe.oracle(parts[:, 0], parts[:, 1:])

    known = torch.cat((mixture, references.flatten(0, 1)))
    blocks = chunks.overlap_add(known, recipe.sample_rate, ideal, chunking)
    return torch.cat(list(blocks), dim=-1)
