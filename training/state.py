"""The state of a training run, saved and restored bit by bit."""

import dataclasses
import json
import math
from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from stemlode import files, runs
from stemlode.runs import Failed
from training import checkpoint
from training.devices import World, running_statistics

LAST = "last/state.safetensors"  # of a run of train or finetune
KEPT = "last/before"  # files as they were before the end of the run
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclasses.dataclass
class Progress:
    """How far a run is; with tensors, everything that a resumed run needs."""

    step: int = 0
    epoch: int = 0
    position: int = 0  # samples of the epoch that are used up
    seconds: float = 0.0
    best_loss: float = math.inf
    best_step: int = 0
    stale: int = 0  # validations since the best one
    judged: int = 0  # the step of the last validation


@dataclasses.dataclass
class Unlogged:
    """What the steps since the last line of the log found."""

    losses: list[float] = dataclasses.field(default_factory=list)
    terms: dict[str, list[float]] = dataclasses.field(default_factory=dict)  # `Judged.terms`
    norm: float = math.nan  # of the last step's gradients, before clipping

    def note(self, found: dict[str, float]) -> None:
        """What a step found: loss, norm, and each term as loss_NAME."""
        self.losses.append(found["loss"])
        for name, value in found.items():
            if name.startswith("loss_"):
                self.terms.setdefault(name.removeprefix("loss_"), []).append(value)
        self.norm = found["norm"]


class Extra(Protocol):
    """What else has a state (`training.loop.material.Material`)."""

    rejects: dict[str, str]

    def tensors(self) -> dict[str, Tensor]: ...

    def facts(self) -> dict[str, Any]: ...

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None: ...


@dataclasses.dataclass(frozen=True)
class Learning:
    """Everything that changes while a run learns."""

    nets: nn.Module
    average: nn.Module | None  # of the weights
    adam: torch.optim.Adam
    scaler: torch.amp.GradScaler
    material: Extra


def preserve(
    path: str,
    learning: Learning,
    progress: Progress,
    unlogged: Unlogged,
    logged: int,
    world: World,
) -> None:
    """Save everything that a resumed run needs, atomically in one file.

    `logged` lines of the log belong to it. All processes must call it; the first one writes.
    """
    own: dict[str, Any] = {"epoch": progress.epoch, "position": progress.position}
    own |= {"rejects": learning.material.rejects, "cpu": torch.get_rng_state()}
    own["extra"] = learning.material.facts()
    device = next(learning.nets.parameters()).device
    if device.type == "cuda":
        own["cuda"] = torch.cuda.get_rng_state(device)
    if world.size > 1:  # until they are evened out, each process has others
        own["running"] = {name: held.cpu() for name, held in _running(learning).items()}
    ranks = world.gathered(own)
    if not world.first:
        return
    tensors = {f"core.{name}": tensor for name, tensor in learning.nets.state_dict().items()}
    if learning.average is not None:
        held = learning.average.state_dict()
        tensors |= {f"average.{name}": tensor for name, tensor in held.items()}
    for name, parameter in learning.nets.named_parameters():
        moments = learning.adam.state[parameter]
        tensors |= {f"adam.{name}.{key}": value for key, value in moments.items()}
    material = learning.material
    tensors |= {f"extra.{name}": tensor for name, tensor in material.tensors().items()}
    rejects: dict[str, str] = {}
    for rank, found in enumerate(ranks):
        rejects |= found.pop("rejects")
        for kind in {"cpu", "cuda"} & found.keys():
            tensors[f"random.{kind}.{rank}"] = found.pop(kind)
        for name, held in found.pop("running", {}).items():
            tensors[f"running.{rank}.{name}"] = held
    extra = ranks[0].pop("extra")
    facts = {
        "progress": _finite(dataclasses.asdict(progress)),
        "ranks": ranks,
        "rejects": rejects,
        "losses": unlogged.losses,
        "terms": unlogged.terms,
        "logged": logged,
        "norm": unlogged.norm if math.isfinite(unlogged.norm) else None,
        "scaler": learning.scaler.state_dict(),
        "extra": extra,
    }
    checkpoint.write_tensors(path, tensors, facts)


def restore(
    path: str, learning: Learning, device: torch.device, world: World
) -> tuple[Progress, Unlogged, int | None]:
    """The inverse of `preserve`, with the lines of the log, which older versions did not count;
    Failed if the file is damaged."""
    try:
        tensors, facts = checkpoint.read_tensors(path)
    except Failed as error:
        raise Failed(f"{error}; start over with --overwrite") from error
    try:
        # Older versions saved a step that is due for validation only after that.
        progress = Progress(**{"judged": facts["progress"]["step"], **facts["progress"]})
        norm = facts.get("norm")
        unlogged = Unlogged(
            [float(loss) for loss in facts.get("losses", [])],
            {name: [float(x) for x in held] for name, held in facts.get("terms", {}).items()},
            math.nan if norm is None else float(norm),
        )
        logged = None if facts.get("logged") is None else int(facts["logged"])
        if progress.best_loss is None:
            progress.best_loss = math.inf
        own = facts["ranks"][world.rank]
        progress.epoch, progress.position = own["epoch"], own["position"]
        _load(learning.nets, _under("core.", tensors))
        if learning.average is not None:
            _load(learning.average, _under("average.", tensors))
        for name, held in _running(learning).items():
            if (found := tensors.get(f"running.{world.rank}.{name}")) is not None:
                held.copy_(found)
        for name, parameter in learning.nets.named_parameters():
            if not parameter.requires_grad:
                continue  # it does not learn
            # The moments get the parameters' memory layout again: rounding may depend on it.
            steps = tensors[f"adam.{name}.step"]
            learning.adam.state[parameter] = {
                "step": steps.to(device),
                **{
                    k: torch.empty_like(parameter).copy_(tensors[f"adam.{name}.{k}"])
                    for k in MOMENTS
                },
            }
        if facts["scaler"]:  # empty in runs without one, which may have one now
            learning.scaler.load_state_dict(facts["scaler"])
        learning.material.rejects.update(facts["rejects"])
        learning.material.restore(_under("extra.", tensors), own.get("extra", facts["extra"]))
        torch.set_rng_state(tensors[f"random.cpu.{world.rank}"])
        if device.type == "cuda" and f"random.cuda.{world.rank}" in tensors:
            torch.cuda.set_rng_state(tensors[f"random.cuda.{world.rank}"], device)
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        cause = f"{path}: damaged, or of another run: {runs.reason(error)}"
        raise Failed(f"{cause}; start over with --overwrite") from error
    return progress, unlogged, logged


def _running(learning: Learning) -> dict[str, Tensor]:
    """Running statistics of the nets and of their average, by name."""
    nets = {"core": learning.nets, "average": learning.average}
    return {
        f"{prefix}.{name}": held
        for prefix, net in nets.items()
        if net is not None
        for name, held in running_statistics(net).items()
    }


def keep(run: runs.Run, names: Iterable[str]) -> None:
    """Copy files of a run, if they are there, to where `put_back` finds them.

    The end of a run validates, whatever the schedule, and may replace the best net. If the run is
    to last longer after all, it must go on as if it had not ended.
    """
    for name in names:
        if files.exists(run.path(name)):
            files.write_bytes(run.path(KEPT, name), files.read_bytes(run.path(name)))


def put_back(run: runs.Run) -> None:
    """Undo what happened to the files that `keep` copied."""
    root = files.join(run.path(KEPT), "")
    kept = files.list_files(run.path(KEPT))
    for path in kept:
        files.write_bytes(run.path(path.removeprefix(root)), files.read_bytes(path))
    for path in kept:
        files.remove(path)


def _finite(facts: dict[str, Any]) -> dict[str, Any]:
    """None for the infinite loss before the first validation: JSON has no infinity."""
    unknown = math.isinf(facts["best_loss"])
    return {**facts, "best_loss": None if unknown else facts["best_loss"]}


def _load(nets: nn.Module, weights: dict[str, Tensor]) -> None:
    checkpoint.fit(nets, weights)
    nets.load_state_dict(weights)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def read_levels(path: str) -> tuple[dict[str, float], dict[str, str]]:
    """The peaks and rejects that one pass over the corpus found; Failed if the file is damaged."""
    try:
        held = json.loads(files.read_bytes(path))
        peaks = {str(song): float(peak) for song, peak in held["peaks"].items()}
        return peaks, {str(key): str(why) for key, why in held["rejects"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, error) from error


def damaged(path: str, error: Exception) -> Failed:
    """What says that a run's file cannot be gone on with."""
    return Failed(f"{path}: damaged: {runs.reason(error)}; start over with --overwrite")
