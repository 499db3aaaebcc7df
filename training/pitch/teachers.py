"""Teachers of pitch: a song's vocals → its salience. Loaded by name, their weights by file."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from stemlode.runs import BadUsage
from stemlode.shards import salience
from stemlode.shards.salience import ROWS, TARGETS
from training.devices import pick_device
from training.pitch import deep_salience, swift
from training.pitch.hcqt import HCQT, Signal
from training.pitch.targets import on_grid, ridges, single

SWIFT, DEEP = "swift-f0", "deep-salience"
NAMES = (SWIFT, DEEP)  # the first is the default
RIDGE_FRAMES = 4096  # at a time


@dataclass(frozen=True)
class PitchTeacher:
    """A pitch tracker that is ready to use; `load` makes them."""

    name: str
    sha256: str  # of its weights
    sample_rate: int  # Hz, of what it hears
    polyphonic: bool  # whether it tells several voices of a frame apart
    likelihoods: Callable[[Signal, int], Iterator[np.ndarray]]

    def salience(self, signal: Signal, frames: int, targets: str = "single") -> np.ndarray:
        """A whole song, mono at the teacher's rate → uint8 [360, frames] (`shards.salience`).

        `targets` is one of TARGETS; errors as of `check`.
        """
        return self.saliences(signal, frames, (targets,))[targets]

    def saliences(
        self, signal: Signal, frames: int, wanted: Collection[str]
    ) -> dict[str, np.ndarray]:
        """`salience` for several targets, of one hearing."""
        for targets in wanted:
            self.check(targets)
        found = {targets: np.zeros((ROWS, frames), np.uint8) for targets in wanted}
        first = 0
        for block in self.likelihoods(signal, frames):
            last = first + min(block.shape[1], max(0, frames - first))
            for targets, values in found.items():
                kept = single(block) if self.polyphonic and targets == "single" else block
                values[:, first:last] = salience.quantised(kept[:, : last - first])
            first = last
        return found

    def check(self, targets: str) -> None:
        """BadUsage where this teacher cannot give such targets."""
        if targets not in TARGETS:
            raise BadUsage(f"--targets {targets}: one of {', '.join(TARGETS)}")
        if targets == "multi" and not self.polyphonic:
            raise BadUsage(
                f"--targets multi: {self.name} follows one voice; it needs --teacher {DEEP} "
                "and its --weights"
            )


def load(name: str, weights: str | None = None, device: str | None = None) -> PitchTeacher:
    """A teacher by its name, on a device (swift-f0 always on the CPU).

    `weights` is Deep Salience's Keras file. Raises BadUsage where a name is unknown or a file or
    package is not there, Failed where the file is damaged.
    """
    if name == SWIFT:
        detector, sha256 = swift.load()

        def ridged(signal: Signal, frames: int) -> Iterator[np.ndarray]:
            f0 = on_grid(swift.f0_of(detector, signal), frames)
            for start in range(0, frames, RIDGE_FRAMES):
                yield ridges(f0[start : start + RIDGE_FRAMES])

        return PitchTeacher(name, sha256, swift.SAMPLE_RATE, False, ridged)
    if name != DEEP:
        raise BadUsage(f"--teacher {name}: one of {', '.join(NAMES)}")
    if not weights:
        raise BadUsage(
            f"--teacher {DEEP} needs --weights, the file of its authors (deepsalience_multif0.h5)"
        )
    place = pick_device(device)
    loaded, sha256 = deep_salience.load(weights)
    net, transform = loaded.to(place), HCQT().to(place)

    def dense(signal: Signal, frames: int) -> Iterator[np.ndarray]:
        with torch.inference_mode():
            yield from deep_salience.likelihoods(net, transform, signal)

    return PitchTeacher(name, sha256, salience.SAMPLE_RATE, True, dense)
