"""Where a training run is, and how it comes back there after a crash, bit by bit."""

import dataclasses
import json
import math
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pipelines import files, runs
from pipelines.runs import Failed
from training import checkpoint


class Extra(Protocol):
    """What else has a state: see `material.Material`."""

    def tensors(self) -> dict[str, Tensor]: ...

    def facts(self) -> dict[str, Any]: ...

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None: ...


@dataclasses.dataclass
class Progress:
    """Where a run is: everything a resumed run needs but tensors."""

    step: int = 0
    epoch: int = 0
    position: int = 0  # samples of the epoch that are used up
    seconds: float = 0.0
    best_loss: float = math.inf
    best_step: int = 0
    stale: int = 0  # validations since the best one


def preserve(
    path: str, core: nn.Module, adam: torch.optim.Adam, extra: Extra, progress: Progress
) -> None:
    """Everything that a resumed run needs, in one file that appears whole or not at all."""
    tensors = {f"core.{name}": tensor for name, tensor in core.state_dict().items()}
    tensors |= {f"extra.{name}": tensor for name, tensor in extra.tensors().items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    for name, parameter in core.named_parameters():
        tensors |= {f"adam.{name}.{key}": value for key, value in adam.state[parameter].items()}
    facts = {"progress": dataclasses.asdict(progress), "extra": extra.facts()}
    checkpoint.write_tensors(path, tensors, facts)


def restore(
    path: str, core: nn.Module, adam: torch.optim.Adam, extra: Extra, device: torch.device
) -> Progress:
    """The inverse of `preserve`; Failed where the file is damaged."""
    tensors, facts = checkpoint.read_tensors(path)
    try:
        progress = Progress(**facts["progress"])
        weights = _under("core.", tensors)
        checkpoint.fit(core, weights)
        core.load_state_dict(weights)
        for name, parameter in core.named_parameters():
            # The moments get the parameters' memory layout back, on which rounding may depend.
            moments = ("exp_avg", "exp_avg_sq")
            adam.state[parameter] = {
                "step": tensors[f"adam.{name}.step"],
                **{
                    k: torch.empty_like(parameter).copy_(tensors[f"adam.{name}.{k}"])
                    for k in moments
                },
            }
        extra.restore(_under("extra.", tensors), facts["extra"])
        torch.set_rng_state(tensors["random.cpu"])
        if device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        cause = f"{path}: damaged, or of another run: {runs.reason(error)}"
        raise Failed(f"{cause}; start over with --overwrite") from error
    return progress


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def log_line(progress: Progress, losses: list[float]) -> dict[str, Any]:
    """One line of the log; the loss is the mean since the line before."""
    return {
        "step": progress.step,
        "epoch": progress.epoch,
        "loss": sum(losses) / len(losses),
        "seconds": round(progress.seconds, 3),
    }


def write_log(path: str, log: list[dict[str, Any]]) -> None:
    """The whole log, atomically: remote stores cannot append."""
    files.write_bytes(path, "".join(json.dumps(row) + "\n" for row in log).encode())


def read_log(path: str) -> list[dict[str, Any]]:
    """The lines of a log; Failed where it is damaged."""
    try:
        rows = [json.loads(line) for line in files.read_bytes(path).splitlines()]
        return [{**row, "step": int(row["step"])} for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def read_levels(path: str) -> tuple[dict[str, float], dict[str, str]]:
    """What one pass over the corpus found: peaks, rejects; Failed where the file is damaged."""
    try:
        held = json.loads(files.read_bytes(path))
        peaks = {str(song): float(peak) for song, peak in held["peaks"].items()}
        return peaks, {str(key): str(why) for key, why in held["rejects"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: str, error: Exception) -> Failed:
    return Failed(f"{path}: damaged: {runs.reason(error)}; start over with --overwrite")
