"""Which device to compute on."""

import os

import torch

from pipelines import runs
from pipelines.runs import BadUsage
from training.ranks import ALONE, World


def pick_device(name: str | None, world: World = ALONE) -> torch.device:
    """A device by its name, else the GPU where there is one; BadUsage for what is not there.

    Of several processes on a machine each gets a GPU of its own.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        if device.type == "cuda" and device.index is None and world.size > 1:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(device)
        torch.zeros(1, device=device).item()
        # fp32 is fp32: TF32, cuDNN's default, would leave the filter banks' noise at −60 dB.
        torch.backends.cudnn.allow_tf32 = False
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        cause = runs.reason(error).partition(". ")[0][:200]
        raise BadUsage(f"--device {name}: {cause}; name cpu, or a GPU that is there") from error
    return device
