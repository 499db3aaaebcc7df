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
        out or the device is gone, which is no segment's fault.
        """
        whole = torch.from_numpy(np.ascontiguousarray(mixture, np.float32))
        if self.teacher.device.type == "cuda":
            whole = whole.pin_memory()
        found: list[Labelled] = []
        before: list[Estimated] = []
        for group in whole.split(self.batch_size):
            # A GPU computes these while the labels before them are fetched.
            launched = self._batch(group)
            found += [one.fetched() for one in before]
            before = launched
        return _joined([*found, *(one.fetched() for one in before)])

    def _batch(self, group: Tensor) -> "list[Estimated]":
        places = list(range(len(group)))
        found = self._twice(group, places)
        if isinstance(found, Estimated):
            return [found]
        alone = [self._twice(group, [place]) for place in places]
        return [
            one if isinstance(one, Estimated) else _failed(group[place], one)
            for place, one in zip(places, alone, strict=True)
        ]

    def _twice(self, group: Tensor, places: list[int]) -> "Estimated | Exception":
        """Labels of some segments of a batch, or what the teacher raised at the second attempt."""
        try:
            return self._estimated(group, places)
        except Exception as error:
            _check_passing(error)
        try:
            return self._estimated(group, places)
        except Exception as error:
            _check_passing(error)
            return error

    @torch.inference_mode()
    def _estimated(self, group: Tensor, places: list[int]) -> "Estimated":
        """Labels of some segments of a batch, each in its place, with silence in the others."""
        moved = group.to(self.teacher.device, non_blocking=True)
        batch = moved.new_zeros(self.batch_size, *group.shape[1:])
        batch[places] = moved[places]
        target, missed = self.teacher.separate(batch, self.target)
        found = labels.label(batch, target, missed)
        confidence = labels.confidence(target, batch - target)
        energies = torch.stack([found.mixture_db, found.target_db, found.residual_db], dim=1)
        missed = torch.full_like(found.mixture_db, torch.nan) if missed is None else missed
        return Estimated(
            found.outcome[places],
            target[places],
            energies[places],
            confidence[places],
            missed[places],
        )


@dataclass(frozen=True)
class Estimated:
    """A teacher's labels on its device; a GPU may still be computing them."""

    outcome: Tensor
    target: Tensor
    energies_db: Tensor
    confidence: Tensor
    missed_db: Tensor
    reason: str = ""  # why the teacher failed

    def fetched(self) -> Labelled:
        """The same as arrays."""
        names = [(*OUTCOMES, FAILED)[number] for number in self.outcome.tolist()]
        energies, missed = self.energies_db.cpu().numpy(), self.missed_db.tolist()
        return Labelled(
            self.target.cpu().numpy(),
            names,
            [
                self.reason or _reason(name, level, miss)
                for name, level, miss in zip(names, energies[:, 0], missed, strict=True)
            ],
            energies,
            self.confidence.cpu().numpy(),
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


def _check_passing(error: Exception) -> None:
    """Raise Failed if the machine is at fault: every further segment would fail as well."""
    said = runs.reason(error)
    if chunks.is_out_of_memory(error):
        raise Failed(f"--teacher: not enough memory: take a smaller --batch-size ({said[:120]})")
    if "CUDA error" in said or isinstance(error, OSError):
        raise Failed(f"--teacher: {said[:200]}; run again to resume") from error
