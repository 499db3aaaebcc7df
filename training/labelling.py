"""Segments → labels by a teacher, in batches of one size, so that a label does not depend on what
else is asked for at the same time.

A net's result for a segment may differ in its last bits with the size of the batch and with the
place in it. So segments keep their places, the last batch is filled up with silence, and a segment
that is tried again by itself stands where it stood.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipelines import runs
from pipelines.runs import Failed
from training import labels
from training.labels import OUTCOMES, Labels
from training.teachers import Teacher, TeacherFault

FAILED = "teacher_failed"  # an outcome besides labels.OUTCOMES


@dataclass(frozen=True)
class Labelled:
    """What a teacher makes of segments. Arrays, so that it can go from process to process."""

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

        A batch on which the teacher raises is tried once more, and then segment by segment, each
        twice as well: only those on which it raises again are lost. Raises Failed where it lacks
        memory or the device is gone, which is no segment's fault.
        """
        whole = torch.from_numpy(np.ascontiguousarray(mixture, np.float32))
        return _joined(self._batch(group) for group in whole.split(self.batch_size))

    def _batch(self, group: Tensor) -> Labelled:
        places = list(range(len(group)))
        found = self._twice(group, places)
        if isinstance(found, Labelled):
            return found
        alone = [self._twice(group, [place]) for place in places]
        return _joined(
            one if isinstance(one, Labelled) else _failed(group[place], one)
            for place, one in zip(places, alone, strict=True)
        )

    def _twice(self, group: Tensor, places: list[int]) -> "Labelled | Exception":
        """Some segments of a batch, or what the teacher raised at the second attempt as well."""
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
    def _estimated(self, group: Tensor, places: list[int]) -> Labelled:
        """Some segments of a batch, each in its place among silence."""
        batch = group.new_zeros(self.batch_size, *group.shape[1:])
        batch[places] = group[places]
        batch = batch.to(self.teacher.device)
        target, missed = self.teacher.separate(batch, self.target)
        found = labels.label(batch, target, missed)
        confidence = labels.confidence(target, batch - target)
        energies = torch.stack([found.mixture_db, found.target_db, found.residual_db], dim=1)
        outcomes = [OUTCOMES[number] for number in found.outcome[places].tolist()]
        return Labelled(
            target[places].cpu().numpy(),
            outcomes,
            [_reason(outcomes[n], found, missed, place) for n, place in enumerate(places)],
            energies[places].cpu().numpy(),
            confidence[places].cpu().numpy(),
        )


def _joined(parts: Iterable[Labelled]) -> Labelled:
    found = list(parts)
    return Labelled(
        np.concatenate([one.target for one in found]),
        [outcome for one in found for outcome in one.outcomes],
        [reason for one in found for reason in one.reasons],
        np.concatenate([one.energies_db for one in found]),
        np.concatenate([one.confidence for one in found]),
    )


def _reason(outcome: str, found: Labels, missed: Tensor | None, place: int) -> str:
    if outcome == "silent":
        return f"{labels.REASONS[outcome]}: {float(found.mixture_db[place]):.0f} dB"
    if outcome == "not_a_sum" and missed is not None:
        return f"{labels.REASONS[outcome]}: they miss it by {float(missed[place]):+.1f} dB"
    return labels.REASONS.get(outcome, "")


def _failed(segment: Tensor, error: Exception) -> Labelled:
    what = "" if isinstance(error, TeacherFault) else f"the teacher raised {type(error).__name__}: "
    return Labelled(
        np.zeros((1, *segment.shape), np.float32),
        [FAILED],
        [what + runs.reason(error)],
        np.full((1, 3), np.nan),
        np.zeros(1, np.float32),
    )


def _check_passing(error: Exception) -> None:
    """Failed for what is the machine's fault; every further segment would fail as well."""
    said = runs.reason(error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "t allocate memory" in said:
        raise Failed(f"--teacher: not enough memory: take a smaller --batch-size ({said[:120]})")
    if "CUDA error" in said or isinstance(error, OSError):
        raise Failed(f"--teacher: {said[:200]}; run again to resume") from error
