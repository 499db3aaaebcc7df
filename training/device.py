"""Which device to compute on."""

import torch

from pipelines import runs
from pipelines.runs import BadUsage


def pick_device(name: str | None) -> torch.device:
    """A device by its name, else the GPU where there is one; BadUsage for what is not there."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        cause = runs.reason(error).partition(". ")[0][:200]
        raise BadUsage(f"--device {name}: {cause}; name cpu, or a GPU that is there") from error
    return device
