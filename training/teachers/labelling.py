"""A teacher's labels of segments, in batches of one size, so that a label does not depend on which
other segments are labelled at the same time.

The last bits of a net's result for a segment may depend on the size of the batch and on the place
in it. So segments keep their places, the last batch is filled up with silence, and a segment that
is tried again alone stays in its place.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stemlode import runs
from stemlode.runs import Failed
from training import devices
from training.recipes import chunks
from training.teachers import labels
from training.teachers.labels import OUTCOMES
from training.teachers.teacher import Teacher, TeacherFault

FAILED = "teacher_failed"  # an outcome besides labels.OUTCOMES


@dataclass(frozen=True)
class Labelled:
    """A teacher's labels of segments, as arrays, which can be sent to other processes."""

    target: np.ndarray  # float32 [segments, channels, samples]; zeros where it failed
    outcomes: list[str]  # labels.OUTCOMES or FAILED
    reasons: list[str]  # why a segment is of no use; empty where it is
    energies_db: np.ndarray  # float64 [segments, 3]: mixture, target, residual; NaN where it failed
    confidence: np.ndarray  # float32 [segments]


class Labeller:
    """A teacher for one source, with its batch size."""

    def __init__(self, teacher: Teacher, target: str, batch_size: int) -> None:
        teacher.check(target)
        self.teacher, self.target, self.batch_size = teacher, target, batch_size

    def label(self, mixture: np.ndarray) -> Labelled:
        """Labels of float32 [segments, channels, samples], batch after batch in this order.

        If the teacher raises on a batch, the batch is tried once more, and then each segment alone,
        twice as well; only segments on which it raises again are lost. Raises Failed if memory runs
        out or the device is gone, which is no segment's fault. A smaller batch is no way out of a
        lack of memory, as it would change the labels' last bits: which one has room is said.
        """
        whole = torch.from_numpy(np.ascontiguousarray(mixture, np.float32))
        if self.teacher.device.type == "cuda":
            whole = whole.pin_memory()
        found: list[Labelled] = []
        before: list[Estimated] = []
        for group in whole.split(self.batch_size):
            # A GPU computes these while the labels before them, which it has sent, are taken.
            launched = self._batch(group)
            found += [one.fetched() for one in before]
            before = launched
        return _joined([*found, *(one.fetched() for one in before)])

    def _batch(self, group: Tensor) -> "list[Estimated]":
        found = self._twice(group, slice(len(group)))
        if isinstance(found, Estimated):
            return [found]
        alone = [self._twice(group, slice(place, place + 1)) for place in range(len(group))]
        return [
            one if isinstance(one, Estimated) else _failed(segment, one)
            for segment, one in zip(group, alone, strict=True)
        ]

    def _twice(self, group: Tensor, places: slice) -> "Estimated | Exception":
        """Labels of some segments of a batch, or what the teacher raised at the second attempt."""
        found = self._tried(group, places)
        return found if isinstance(found, Estimated) else self._tried(group, places)

    def _tried(self, group: Tensor, places: slice) -> "Estimated | Exception":
        try:
            return self._estimated(group, places)
        except Exception as error:
            _check_device(error)
            if not chunks.is_out_of_memory(error):
                return error
            said = runs.reason(error)[:120]
        # By now nothing holds what the attempt computed.
        raise Failed(f"--teacher: not enough memory for {self._has_room(group)} ({said})")

    def _has_room(self, group: Tensor) -> str:
        """The batch that had no room, and what to do: the largest half, quarter, … that has."""
        asked = f"batches of {self.batch_size}"
        size = self.batch_size // 2
        while size:
            chunks.forget_failed()
            try:
                with torch.inference_mode():
                    silence = torch.zeros(size, *group.shape[1:], device=self.teacher.device)
                    self.teacher.separate(silence, self.target)
            except Exception as error:
                if not chunks.is_out_of_memory(error):
                    break
                size //= 2
            else:
                return (
                    f"{asked}: --batch-size {size} has room; give it with --overwrite, as labels "
                    "of another batch differ in their last bits"
                )
        return f"{asked}: take another --device, or a shorter --segment-seconds"

    @torch.inference_mode()
    def _estimated(self, group: Tensor, places: slice) -> "Estimated":
        """Labels of some segments of a batch, each in its place, with silence in the others."""
        moved = group.to(self.teacher.device, non_blocking=True)
        batch = moved.new_zeros(self.batch_size, *group.shape[1:])
        batch[places] = moved[places]
        target, missed = self.teacher.separate(batch, self.target)
        found = labels.label(batch, target, missed)
        confidence = labels.confidence(target, batch - target)
        energies = torch.stack([found.mixture_db, found.target_db, found.residual_db], dim=1)
        missed = torch.full_like(found.mixture_db, torch.nan) if missed is None else missed
        outcome, _ = devices.sent(found.outcome[places])
        target, _ = devices.sent(target[places])
        energies, _ = devices.sent(energies[places])
        confidence, _ = devices.sent(confidence[places])
        missed, arrived = devices.sent(missed[places])
        return Estimated(outcome, target, energies, confidence, missed, arrived=arrived)


@dataclass(frozen=True)
class Estimated:
    """A teacher's labels, on their way from its device, which may still be computing them."""

    outcome: Tensor
    target: Tensor
    energies_db: Tensor
    confidence: Tensor
    missed_db: Tensor
    reason: str = ""  # why the teacher failed
    arrived: torch.cuda.Event | None = None

    def fetched(self) -> Labelled:
        """The same as arrays, once they are there."""
        if self.arrived is not None:
            self.arrived.synchronize()
        names = [(*OUTCOMES, FAILED)[number] for number in self.outcome.tolist()]
        energies, missed = self.energies_db.numpy(), self.missed_db.tolist()
        return Labelled(
            self.target.numpy(),
            names,
            [
                self.reason or _reason(name, level, miss)
                for name, level, miss in zip(names, energies[:, 0], missed, strict=True)
            ],
            energies,
            self.confidence.numpy(),
        )


def _joined(found: list[Labelled]) -> Labelled:
    return Labelled(
        np.concatenate([one.target for one in found]),
        [outcome for one in found for outcome in one.outcomes],
        [reason for one in found for reason in one.reasons],
        np.concatenate([one.energies_db for one in found]),
        np.concatenate([one.confidence for one in found]),
    )


def _reason(outcome: str, mixture_db: float, missed_db: float) -> str:
    if outcome == "silent":
        return f"{labels.REASONS[outcome]}: {mixture_db:.0f} dB"
    if outcome == "not_a_sum":
        return f"{labels.REASONS[outcome]}: they miss it by {missed_db:+.1f} dB"
    return labels.REASONS.get(outcome, "")


def _failed(segment: Tensor, error: Exception) -> Estimated:
    what = "" if isinstance(error, TeacherFault) else f"the teacher raised {type(error).__name__}: "
    return Estimated(
        torch.tensor([len(OUTCOMES)]),
        torch.zeros(1, *segment.shape),
        torch.full((1, 3), torch.nan, dtype=torch.float64),
        torch.zeros(1),
        torch.zeros(1),
        what + runs.reason(error),
    )


def _check_device(error: Exception) -> None:
    """Raise Failed if the device or a file is gone: every further segment would fail as well."""
    said = runs.reason(error)
    if "CUDA error" in said or isinstance(error, OSError):
        raise Failed(f"--teacher: {said[:200]}; run again to resume") from error
