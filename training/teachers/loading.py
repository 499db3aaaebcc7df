"""Loads teachers: anything that separates a mixture, with one interface.

A teacher's name is a checkpoint of ours (its folder, that of its run, or another name that
`training.published.places` knows), a file of TorchScript or
ONNX with a JSON file beside it (`training.teachers.files`), or `module:function`, a Python function
that is called with the device's name and returns an object with

* `sample_rate` (Hz), `sources` (names) and `version` (text; labels of another version are another
  teacher's),
* optionally `channels` (the only number that it takes) and `whole` (whether its sources sum to the
  mixture; by default true if there are several),
* and a call: float32 [batch, channels, samples] → [batch, sources, channels, samples].

The function and a TorchScript file are programs: they run with your rights. Checkpoints and ONNX
files are data.
"""

import dataclasses
import hashlib
import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from stemlode import files, runs
from stemlode.runs import BadUsage, Failed
from training import checkpoint
from training.checkpoint import Checkpoint
from training.devices import pick_device
from training.published import places
from training.teachers.teacher import FACTS, Teacher, checked

FILES = (".onnx", ".pt", ".pth", ".ts")
T = TypeVar("T")
ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def load(name: str, device: torch.device | str | None = None) -> Teacher:
    """A teacher by its name, on `device`, or else on a GPU if there is one.

    Raises BadUsage if there is none or its description is wrong, Failed if it is damaged.
    """
    place = device if isinstance(device, torch.device) else pick_device(device)
    if ENTRY.fullmatch(name):
        return _of_entry(name, place)
    if name.lower().endswith(FILES):
        from training.teachers import files as of_file  # noqa: PLC0415 (ONNX is an extra)

        return of_file.load(name, place)
    trained = _of_checkpoint(checkpoint.load, name, place)
    return of_checkpoint(trained, trained.sha256, name)


def pinned(name: str) -> str:
    """A teacher's name as other processes and machines understand it; raises as `load`."""
    if ENTRY.fullmatch(name):
        return name
    if name.lower().endswith(FILES):
        return files.absolute(name)
    return _of_checkpoint(places.pinned, name)


def of_checkpoint(trained: Checkpoint, sha256: str, name: str = "the teacher") -> Teacher:
    """A checkpoint as a teacher, on the device of its nets; `sha256` is its file's.

    It treats each segment as a short song (`Recipe.estimate_songs`).
    """
    recipe, nets = trained.recipe, trained.core
    if not recipe.separates:
        raise BadUsage(f"--teacher {name}: {recipe.name} separates no mixtures")
    device = next(nets.parameters()).device

    def call(mixture: Tensor) -> Tensor:
        return recipe.estimate_songs(nets, mixture)

    facts = {"sample_rate": recipe.sample_rate, "sources": recipe.separated}
    teacher = checked(name, sha256, facts, device, call)
    return dataclasses.replace(teacher, at_once=recipe.segments_at_once)


def sha256_of(folder: str) -> str:
    """The hash of a checkpoint that its labels carry: SHA-256 of its `model.safetensors`."""
    return files.sha256(_of_checkpoint(checkpoint.find, folder))


def _of_checkpoint(call: Callable[..., T], *given: Any) -> T:
    """What a call says of a checkpoint; its errors name our option."""
    try:
        return call(*given)
    except Failed as error:
        raise Failed(str(error).replace("--checkpoint", "--teacher", 1)) from error
    except BadUsage as error:
        what = str(error).removeprefix("--checkpoint ")
        raise BadUsage(f"--teacher {what}; nor is it .onnx, .pt or module:function") from error


def _of_entry(name: str, device: torch.device) -> Teacher:
    module_name, _, function_name = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as python -m does, look in the current folder
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise BadUsage(f"--teacher {name}: {runs.reason(error)}") from error
    except (Exception, SystemExit) as error:  # sys.exit(0) would pass for a run that is done
        raise _raised(name, "module", error) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise BadUsage(f"--teacher {name}: {module_name} has no function {function_name}")
    try:
        made = function(str(device))
    except (Exception, SystemExit) as error:
        raise _raised(name, "function", error) from error
    missing = [fact for fact in ("sample_rate", "sources", "version") if not hasattr(made, fact)]
    if missing or not callable(made):
        lacks = missing[0] if missing else "a call"
        raise BadUsage(f"--teacher {name}: what it returns has no {lacks}")
    facts = {fact: getattr(made, fact, None) for fact in FACTS}
    sha256 = hashlib.sha256(f"{name} {made.version}".encode()).hexdigest()
    return checked(name, sha256, facts, device, made)


def _raised(name: str, what: str, error: BaseException) -> Failed:
    said = f"{type(error).__name__}: {runs.reason(error)}"
    return Failed(f"--teacher {name}: its {what} raised {said}")
