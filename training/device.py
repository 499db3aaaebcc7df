"""Which device to compute on."""

import torch

from pipelines import runs
from pipelines.runs import BadUsage


def pick_device(name: str | None) -> torch.device:
    """A device by its name, else the GPU where there is one; BadUsage for what is not there."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BadUsage(f"--device {name}: {runs.reason(error)}") from error
    return device
