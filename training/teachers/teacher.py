"""What a teacher is: anything that separates audio at a stated rate into named sources."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stemlode.runs import BadUsage
from training.recipes.base import Recipe
from training.recipes.values import SOURCE, rest_of
from training.teachers import labels

MOST_HZ, MOST_CHANNELS = 192_000, 8
AT_ONCE = Recipe.segments_at_once

FACTS = ("sample_rate", "sources", "channels", "whole")


class TeacherFault(Exception):
    """A teacher returned something of a wrong kind or shape; one line says what."""


@dataclass(frozen=True)
class Teacher:
    """A separator that is ready to use; `of_checkpoint` and `load` make them."""

    name: str  # by which it was loaded
    sha256: str  # of its file, or of its name and version
    sample_rate: int  # Hz
    channels: int | None  # that a mixture must have; None: as many as there are
    sources: tuple[str, ...]  # in the order of its estimates
    whole: bool  # whether the estimates together must be the mixture
    device: torch.device
    call: Callable[
        [Tensor], Any
    ]  # [batch, channels, samples] → [batch, sources, channels, samples]
    at_once: int = AT_ONCE  # segments in a batch, unless a user says otherwise

    def estimate(self, mixture: Tensor) -> Tensor:
        """float32 [batch, channels, samples] → [batch, sources, channels, samples], on its device.

        Raises TeacherFault if the result has another shape; what the teacher itself raises is not
        caught. Values are not checked here but in `labels.label`, as a NaN spoils one segment, not
        the batch.
        """
        if self.channels not in (None, mixture.shape[1]):
            raise TeacherFault(
                f"{self.name} takes {self.channels} channels, not {mixture.shape[1]}"
            )
        with torch.inference_mode():
            # A copy: some nets scale their input in place, and labels compare with the input.
            found = self.call(mixture.to(self.device, torch.float32, copy=True))
        wanted = (len(mixture), len(self.sources), *mixture.shape[1:])
        if not isinstance(found, Tensor):
            raise TeacherFault(f"{self.name} gave a {type(found).__name__}, not a tensor")
        if tuple(found.shape) != wanted:
            raise TeacherFault(f"{self.name} gave {list(found.shape)}, not {list(wanted)}")
        # A clone: autograd does not accept inference tensors.
        return found.detach().to(self.device, torch.float32).clone()

    def separate(self, mixture: Tensor, target: str) -> tuple[Tensor, Tensor | None]:
        """A source of a mixture [batch, channels, samples], in that shape, and by how many dB the
        sum of all sources misses the mixture, [batch]; None if the teacher's sources are not all.

        If the teacher estimates only the rest, the target is the mixture minus the rest. Raises
        TeacherFault as `estimate` does, and BadUsage if the teacher estimates neither.
        """
        place, is_rest = self._place(target)
        found = self.estimate(mixture)
        mixture = mixture.to(self.device, torch.float32)
        missed = labels.misses_db(mixture, found) if self.whole else None
        return mixture - found[:, place] if is_rest else found[:, place], missed

    def check(self, target: str) -> None:
        """Raise BadUsage if the teacher cannot give this source."""
        self._place(target)

    def _place(self, target: str) -> tuple[int, bool]:
        if target in self.sources:
            return self.sources.index(target), False
        if rest_of(target) in self.sources:
            return self.sources.index(rest_of(target)), True
        known = ", ".join(self.sources)
        raise BadUsage(f"--target {target}: {self.name} does not estimate it, only {known}")


def checked(
    name: str,
    sha256: str,
    facts: Mapping[str, Any],
    device: torch.device,
    call: Callable[[Tensor], Any],
) -> Teacher:
    """A teacher from its description: `sample_rate`, `sources`, optionally `channels` and `whole`.

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
