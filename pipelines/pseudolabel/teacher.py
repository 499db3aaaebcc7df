"""The teacher as a model of Beam's RunInference.

What goes through is a stretch of a track, several batches long: the batches' make-up must depend
on the track alone, which Beam's own batching does not promise. Decoding, inference and encoding
are one stage on one worker, so that no audio is shuffled.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from apache_beam.ml.inference.base import ModelHandler

from training.teachers import loading
from training.teachers.labelling import Labelled, Labeller


@dataclass(frozen=True)
class Stretch:
    """Some segments of a track, on the way to its labels."""

    track: dict[str, Any]  # schemas.TRACK
    firsts: list[int]  # first frame of each segment, at the teacher's rate
    mixture: np.ndarray  # float32 [segments, channels, frames]


Done = tuple[Stretch, Labelled]


class TeacherHandler(ModelHandler[Stretch, Done, Labeller]):
    """One copy of a teacher for a worker process, and on a GPU for all processes that share it."""

    def __init__(
        self, teacher: str, target: str, device: str | None, batch_size: int, *, shared: bool
    ) -> None:
        super().__init__()
        self.teacher, self.target, self.device = teacher, target, device
        self.batch_size, self.shared = batch_size, shared

    def load_model(self) -> Labeller:
        """The teacher on its device."""
        return Labeller(loading.load(self.teacher, self.device), self.target, self.batch_size)

    def run_inference(
        self,
        batch: Sequence[Stretch],
        model: Labeller,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[Done]:
        """Each stretch by itself."""
        return [(stretch, model.label(stretch.mixture)) for stretch in batch]

    def batch_elements_kwargs(self) -> dict[str, Any]:
        """No batching but our own."""
        return {"min_batch_size": 1, "max_batch_size": 1}

    def get_num_bytes(self, batch: Sequence[Stretch]) -> int:
        """Of the mixtures; Beam would pickle them to know."""
        return sum(stretch.mixture.nbytes for stretch in batch)

    def get_metrics_namespace(self) -> str:
        """Of the counters that a runner shows."""
        return "pseudolabel"

    def share_model_across_processes(self) -> bool:
        """Whether the worker processes of a machine use one copy."""
        return self.shared
