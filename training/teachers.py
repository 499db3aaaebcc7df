"""Teachers: whatever separates a mixture, behind one face.

A teacher is named by where it lies: a checkpoint of ours (its folder, or that of its run), a file
of TorchScript or ONNX with a JSON file beside it (`training.teacher_files`), or `module:function`,
a Python function that is called with the device's name and returns an object with

* `sample_rate` (Hz), `sources` (names), `version` (text: another one is another teacher),
* perhaps `channels` (what it insists on) and `whole` (whether its sources sum to the mixture;
  so by default where there are several),
* and a call: float32 [batch, channels, samples] → [batch, sources, channels, samples].

The function and a TorchScript file are programs: they run with your rights. Checkpoints and ONNX
files are data.
"""

import hashlib
import importlib
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines import files, runs
from pipelines.runs import BadUsage, Failed
from training import checkpoint, labels, sources
from training.checkpoint import Checkpoint
from training.chunks import Chunking
from training.device import pick_device
from training.recipe import SOURCE, rest_of
from training.recipes_unet import UNetRecipe

ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
MOST_HZ, MOST_CHANNELS = 192_000, 8
FACTS = ("sample_rate", "sources", "channels", "whole")


class TeacherFault(Exception):
    """A teacher gave what it cannot mean: one line that says what."""


@dataclass(frozen=True)
class Teacher:
    """A separator that is ready to use; `of_checkpoint` and `load` make them."""

    name: str  # where it lies
    sha256: str  # of its file, or of its name and version
    sample_rate: int  # Hz
    channels: int | None  # that a mixture must have; None: as many as there are
    sources: tuple[str, ...]  # in the order of its estimates
    whole: bool  # whether the estimates together must be the mixture
    device: torch.device
    call: Callable[
        [Tensor], Any
    ]  # [batch, channels, samples] → [batch, sources, channels, samples]

    def estimate(self, mixture: Tensor) -> Tensor:
        """float32 [batch, channels, samples] → [batch, sources, channels, samples], on its device.

        Raises TeacherFault where the shape is not that, and lets pass what the teacher itself
        raises. Values are not looked at (`labels.label` does): a NaN is one segment's, not a
        batch's.
        """
        if self.channels not in (None, mixture.shape[1]):
            raise TeacherFault(
                f"{self.name} takes {self.channels} channels, not {mixture.shape[1]}"
            )
        with torch.inference_mode():
            # A copy: many a net scales its input where it lies, and labels compare with the input.
            found = self.call(mixture.to(self.device, torch.float32, copy=True))
        wanted = (len(mixture), len(self.sources), *mixture.shape[1:])
        if not isinstance(found, Tensor):
            raise TeacherFault(f"{self.name} gave a {type(found).__name__}, not a tensor")
        if tuple(found.shape) != wanted:
            raise TeacherFault(f"{self.name} gave {list(found.shape)}, not {list(wanted)}")
        # An inference tensor could not be used in what is differentiated.
        return found.detach().to(self.device, torch.float32).clone()

    def separate(self, mixture: Tensor, target: str) -> tuple[Tensor, Tensor | None]:
        """A source of [batch, channels, samples] in its shape, and by how many dB all sources
        together miss the mixture, [batch]; None for a teacher that leaves a rest.

        Where only the target's rest is estimated, the target is what that leaves. Raises
        TeacherFault like `estimate`, and BadUsage where the teacher knows neither.
        """
        place, is_rest = self._place(target)
        found = self.estimate(mixture)
        mixture = mixture.to(self.device, torch.float32)
        missed = labels.misses_db(mixture, found) if self.whole else None
        return mixture - found[:, place] if is_rest else found[:, place], missed

    def check(self, target: str) -> None:
        """BadUsage where the teacher cannot give this source."""
        self._place(target)

    def _place(self, target: str) -> tuple[int, bool]:
        if target in self.sources:
            return self.sources.index(target), False
        if rest_of(target) in self.sources:
            return self.sources.index(rest_of(target)), True
        known = ", ".join(self.sources)
        raise BadUsage(f"--target {target}: {self.name} does not estimate it, only {known}")


def load(name: str, device: torch.device | str | None = None) -> Teacher:
    """A teacher by its name; on the GPU where there is one and `device` does not say.

    Raises BadUsage where there is none or its description is wrong, Failed where it is damaged.
    """
    place = device if isinstance(device, torch.device) else pick_device(device)
    if ENTRY.fullmatch(name):
        return _of_entry(name, place)
    if name.lower().endswith((".onnx", ".pt", ".pth", ".ts")):
        from training import teacher_files  # noqa: PLC0415 (ONNX is an extra)

        return teacher_files.load(name, place)
    if not files.exists(name):
        raise BadUsage(f"--teacher {name}: no such file or folder, nor module:function")
    path = _checkpoint_file(name)
    return of_checkpoint(checkpoint.load(name, place), files.sha256(path), name)


def of_checkpoint(trained: Checkpoint, sha256: str, name: str = "the teacher") -> Teacher:
    """A checkpoint as a teacher, where its nets are; `sha256` is its file's.

    It estimates segments as it would a song of their length. To the magnitude U-Net, whose input
    is divided by a song's loudest bin, a segment is a song.
    """
    recipe, nets = trained.recipe, trained.core
    device = next(nets.parameters()).device

    def call(mixture: Tensor) -> Tensor:
        if isinstance(recipe, UNetRecipe):
            return torch.stack([_song(one, trained) for one in mixture.cpu()])
        return recipe.estimate(nets, mixture)

    facts = {"sample_rate": recipe.sample_rate, "sources": sources.estimated(recipe)}
    return checked(name, sha256, facts, device, call)


def sha256_of(folder: str) -> str:
    """The hash by which labels know a checkpoint: SHA-256 of its `model.safetensors`."""
    return files.sha256(_checkpoint_file(folder))


def checked(
    name: str,
    sha256: str,
    facts: Mapping[str, Any],
    device: torch.device,
    call: Callable[[Tensor], Any],
) -> Teacher:
    """A teacher by what is said of it: `sample_rate`, `sources` and perhaps `channels` and `whole`.

    Raises BadUsage naming what makes no sense.
    """
    rate, channels, whole = (facts.get(fact) for fact in ("sample_rate", "channels", "whole"))

    def wrong(what: str) -> BadUsage:
        return BadUsage(f"--teacher {name}: {what}")

    if type(rate) is not int or not 1000 <= rate <= MOST_HZ:
        raise wrong(f"sample_rate is {rate!r}, not a rate in Hz")
    if channels is not None and (type(channels) is not int or not 1 <= channels <= MOST_CHANNELS):
        raise wrong(f"channels is {channels!r}, not a number from 1 to {MOST_CHANNELS}")
    given = facts.get("sources")
    named = list(given) if isinstance(given, list | tuple) else []
    if not named or not all(isinstance(one, str) and SOURCE.fullmatch(one) for one in named):
        raise wrong(f"sources is {given!r}, not a list of names such as vocals")
    if len(set(named)) < len(named):
        raise wrong(f"sources names one twice: {', '.join(named)}")
    if whole not in (None, True, False):
        raise wrong(f"whole is {whole!r}, neither true nor false")
    sums = len(named) > 1 if whole is None else bool(whole)
    return Teacher(name, sha256, rate, channels, tuple(named), sums, device, call)


def _song(samples: Tensor, trained: Checkpoint) -> Tensor:
    """[channels, samples] → [sources, channels, samples]."""
    return torch.cat(list(sources.estimates(samples, trained, Chunking())), dim=-1)


def _checkpoint_file(folder: str) -> str:
    try:
        return checkpoint.find(folder)
    except BadUsage as error:
        what = str(error).removeprefix("--checkpoint ")
        raise BadUsage(f"--teacher {what}; nor is it .onnx, .pt or module:function") from error


def _of_entry(name: str, device: torch.device) -> Teacher:
    module_name, _, function_name = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # a module that lies here is meant, as with python -m
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
