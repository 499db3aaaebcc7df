"""Checkpoints are data: safetensors and JSON. Nothing is unpickled, so opening one runs no code.

A checkpoint folder holds `model.safetensors`, `config.json` and `README.md`, as hubs expect. The
configuration also travels in the header of `model.safetensors`, and that copy is the one that is
read: a single file is replaced atomically, so weights and configuration always match. The others
are for people and other tools.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from stemlode import files, runs
from stemlode.addresses.pinned import content
from stemlode.runs import BadUsage, Failed
from training.published import card, places
from training.published.kept import MODEL
from training.recipes import registry
from training.recipes.registry import Recipe

BEST = "checkpoint"  # of a run of train, the folder of its best net
CONFIG, CARD = "config.json", "README.md"
FILES = (MODEL, CONFIG, CARD)  # of a checkpoint's folder
FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """What was trained (`Recipe.nets`), ready to use, and where it comes from."""

    recipe: Recipe
    core: nn.Module
    step: int
    scores: dict[str, float] = field(default_factory=dict)
    # If fine-tuned, its teachers in order: sha256, score and step of each. If it learnt from
    # salience, who gave that: pitch and targets.
    teachers: list[dict[str, Any]] = field(default_factory=list)
    # The sets that it learnt from (`training.data.origins`), and the checkpoints that it came from
    # (`descent`); older ones do not say.
    learnt_from: list[dict[str, Any]] = field(default_factory=list)
    parents: list[dict[str, Any]] = field(default_factory=list)
    # Where it was read from, by an address that names its content where there is one, and the
    # SHA-256 of its file.
    name: str = ""
    sha256: str = ""

    @property
    def origin(self) -> dict[str, Any]:
        """Which one this is, for the record of a run that used it."""
        facts = {"checkpoint": self.name, "sha256": self.sha256}
        return facts | {"recipe": self.recipe.name, "step": self.step}

    def descent(self, how: str) -> dict[str, Any]:
        """What a checkpoint that came from this one says of it."""
        name = self.name if content(self.name) else self.name.rstrip("/").rpartition("/")[2]
        facts = self.origin | {"how": how, "checkpoint": name}
        return facts | {"learnt_from": self.learnt_from, "parents": self.parents}


def save(folder: str, checkpoint: Checkpoint) -> None:
    """Write a checkpoint folder, each file atomically."""
    config = {
        "format": FORMAT,
        "recipe": registry.to_fields(checkpoint.recipe),
        "step": checkpoint.step,
        "scores": checkpoint.scores,
    }
    for name in ("teachers", "learnt_from", "parents"):
        if known := getattr(checkpoint, name):
            config[name] = known
    weights = {name: tensor.contiguous() for name, tensor in checkpoint.core.state_dict().items()}
    write_tensors(files.join(folder, MODEL), weights, config)
    write_beside(folder, config)


def write_beside(
    folder: str, config: dict[str, Any], evaluations: Sequence[Mapping[str, Any]] = ()
) -> None:
    """What stands beside the weights for people and other tools."""
    shown = card.text(config, evaluations).encode(errors="replace")
    files.write_bytes(files.join(folder, CONFIG), runs.to_json(config))
    files.write_bytes(files.join(folder, CARD), shown)


def load(folder: str, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint by its folder, a training run's folder, or another of the names that
    `training.published.places` knows; the core is in evaluation mode.

    Raises BadUsage where there is no checkpoint, Failed where it is damaged or not ours.
    """
    name = places.pinned(folder)
    path = find(name)
    tensors, config, sha256 = _read(path)
    try:
        if config.get("format") != FORMAT:
            raise ValueError(f"format {config.get('format')!r} is unknown")
        recipe = registry.from_fields(config.get("recipe", {}))
        step, scores = config.get("step"), config.get("scores")
        if not isinstance(step, int) or not isinstance(scores, dict):
            raise ValueError("step or scores are missing")
        lists = [config.get(one, []) for one in ("teachers", "learnt_from", "parents")]
        for key, held in zip(("teachers", "learnt_from", "parents"), lists, strict=True):
            if not isinstance(held, list) or not all(isinstance(one, dict) for one in held):
                raise ValueError(f"{key} is no list of objects")
        with torch.device("meta"):  # shapes alone: a hostile recipe allocates nothing
            core = recipe.nets()
        fit(core, tensors)
        core.load_state_dict(tensors, assign=True)
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise Failed(f"{path}: not a checkpoint of ours: {runs.reason(error)}") from error
    teachers, learnt_from, parents = lists
    ready = core.to(device).eval()
    return Checkpoint(recipe, ready, step, scores, teachers, learnt_from, parents, name, sha256)


def find(folder: str) -> str:
    """The weights' path for a checkpoint folder, the run folder around it, its file of weights, or
    a checkpoint's name; what has a hash is fetched and checked."""
    if (known := places.weights(folder)) is not None:
        return known
    if folder.endswith(".safetensors") and files.is_file(folder):
        return folder
    for candidate in (folder, files.join(folder, "checkpoint")):
        path = files.join(candidate, MODEL)
        if files.exists(path):
            return path
    raise BadUsage(f"--checkpoint {folder}: {_absent(folder)}")


def _absent(folder: str) -> str:
    return f"holds no {MODEL}" if files.exists(folder) else "no such file or folder"


def fit(core: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Raise ValueError if names, shapes or types are not those of the core, or if a weight is not
    finite."""
    wanted = core.state_dict()
    if set(wanted) != set(tensors):
        odd = sorted(set(wanted) ^ set(tensors))[0]
        raise ValueError(f"tensor {odd} is missing or unknown")
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape or tensor.dtype != wanted[name].dtype:
            raise ValueError(
                f"tensor {name} is {tensor.dtype} {list(tensor.shape)}, "
                f"not {wanted[name].dtype} {list(wanted[name].shape)}"
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"tensor {name} holds NaN or infinity")


def write_tensors(path: str, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """One safetensors file with JSON facts in its header, atomically."""
    on_cpu = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    whole = {"facts": facts, "sha256": _sha256(on_cpu, facts)}
    # A single entry: safetensors does not keep the order of several.
    header = {"stemlode": json.dumps(whole, sort_keys=True, allow_nan=False)}
    files.write_bytes(path, safetensors.torch.save(on_cpu, header))


def read_tensors(path: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts of a file by `write_tensors`; Failed where it is damaged."""
    tensors, facts, _ = _read(path)
    return tensors, facts


def _read(path: str) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    """Tensors, facts, and the SHA-256 of the file."""
    try:
        data = files.read_bytes(path)
        tensors = safetensors.torch.load(data)
        whole = json.loads(_header(data)["stemlode"])
        facts = whole["facts"]
        if not isinstance(facts, dict) or whole["sha256"] != _sha256(tensors, facts):
            raise ValueError("its checksum does not fit")
    except OSError as error:
        raise Failed(f"{path}: {runs.reason(error)}") from error
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Failed(f"{path}: damaged, or not a checkpoint of ours: {_cause(error)}") from error
    return tensors, facts, hashlib.sha256(data).hexdigest()


def _header(data: bytes) -> dict[str, str]:
    """safetensors reads metadata from files only, not from bytes: a length, then JSON."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])["__metadata__"]


def _sha256(tensors: dict[str, Tensor], facts: dict[str, Any]) -> str:
    """The hash of everything in the file: safetensors itself does not notice a flipped bit."""
    hasher = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        hasher.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        hasher.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()


def _cause(error: Exception) -> str:
    if isinstance(error, KeyError):
        return "it holds no configuration"
    return runs.reason(error)
