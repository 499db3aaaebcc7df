"""Losses, gradients and weights that are no numbers: the run ends before they spoil anything."""

import math
from collections.abc import Sequence

import torch
from torch import nn

LEAST_SCALE = 1.0  # of gradients in fp16: below it they overflow by themselves


def not_finite(loss: float, norm: float, scaler: torch.amp.GradScaler) -> str | None:
    """What is wrong with a step, if anything; it must not be taken.

    With a scaler, gradients may overflow now and then: it leaves the step out and scales less.
    """
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    if not math.isfinite(norm) and not (scaler.is_enabled() and scaler.get_scale() > LEAST_SCALE):
        return f"the gradients' norm is {norm}"
    return None


def weights_are_finite(nets: nn.Module) -> bool:
    """Whether no weight, and no running mean or variance, is NaN or infinite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in nets.state_dict().values())


def diverged(trouble: str, step: int, saved_step: int, sample_ids: Sequence[str]) -> str:
    """The line for a run that cannot go on. What was saved before stays as it is."""
    some = ", ".join(sample_ids[:3]) + (", …" if len(sample_ids) > 3 else "")
    last = f"the last good state is of step {saved_step}" if saved_step else "nothing was saved yet"
    return (
        f"{trouble} at step {step} (samples {some}); {last}; "
        "try a lower --learning-rate in another --output"
    )
