"""What fine-tuning learns from: labelled songs, and unlabelled ones with a teacher's labels.

The student begins as a copy of its teacher. Whenever it is better than the teacher on the
validation set, it becomes the teacher (BSRNN III-A). Every teacher is on record.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from stemlode import files
from stemlode.runs import Failed, Run
from training import checkpoint, devices
from training.checkpoint import BEST, Checkpoint
from training.console import tell
from training.data.corpus import Corpus
from training.data.examples import Batch
from training.devices import ALONE, World
from training.finetuning import boosting
from training.finetuning.boosting import Gathering, Pools, Segment, UnlabelledBatch
from training.finetuning.sets import Unlabelled
from training.loop.material import Material
from training.loop.options import SONGS, Options
from training.recipes.base import Recipe
from training.state import Progress
from training.teachers import labels, loading
from training.teachers.labels import Labels

UNSURE = "unsure"  # segments below --min-confidence
_NOTHING = len(labels.OUTCOMES)  # an outcome that gives no signal


@dataclasses.dataclass(frozen=True)
class Rules:
    """How the two sets make up a batch."""

    online: bool = True  # whether the teacher labels in the loop
    ratio: float = 1.0  # labelled signals for each unlabelled one
    min_confidence: float = 0.0  # of a segment that is labelled in the loop

    @property
    def decisive(self) -> dict[str, Any]:
        """As the options of a run's plan."""
        mode = "online" if self.online else "offline"
        return {"mode": mode, "ratio": self.ratio, "min_confidence": self.min_confidence}


@dataclasses.dataclass(frozen=True)
class Start:
    """The checkpoint that a run begins with: its first teacher."""

    folder: str
    trained: Checkpoint
    sha256: str


class Boosting(Material):
    """Labelled songs, unlabelled songs and the teacher, as in Figure 2."""

    def __init__(
        self,
        run: Run,
        data: Corpus,
        recipe: Recipe,
        options: Options,
        device: torch.device,
        unlabelled: Unlabelled,
        rules: Rules,
        start: Start,
        world: World = ALONE,
    ) -> None:
        super().__init__(run, data, recipe, options, device, world)
        if not self.validates:
            raise Failed(
                f"--labelled {data.folder}: it has no valid split with {recipe.target}, and "
                "validation alone says whether a student is better than its teacher"
            )
        self.run, self.rules, self.begun, self.unlabelled = run, rules, start, unlabelled
        self.rejects |= unlabelled.rejects
        self.gathering = Gathering(
            data,
            unlabelled.segments,
            recipe,
            rules.ratio,
            options.seed,
            world,
            across=options.sampling == SONGS,
        )
        self.teachers: list[dict[str, Any]] = []
        self.heard: Counter[str] = Counter()  # since the last validation
        self.total: Counter[str] = Counter()
        self.nets = recipe.nets()
        self.nets.load_state_dict(start.trained.core.state_dict())
        self.nets.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.nets.eval().requires_grad_(False)
        trained = dataclasses.replace(start.trained, recipe=recipe, core=self.nets)
        self.teacher = loading.of_checkpoint(trained, start.sha256, start.folder)

    def begin(self, nets: nn.Module, progress: Progress) -> list[dict[str, Any]]:
        """Score the first teacher; its copy is the run's checkpoint until a student is better."""
        nets.eval()
        scores = self.validate(nets)
        nets.train()
        score = scores["valid_loss"]
        if not math.isfinite(score):
            raise Failed(f"{self.begun.folder}: its validation loss is {score}, so it cannot teach")
        progress.best_loss = score
        self._follow(self.begun.sha256, score, 0)
        if self.world.first:
            path = checkpoint.find(self.begun.folder)
            data = files.read_bytes(path)  # byte for byte, so that its hash stays the teacher's
            _, config = checkpoint.read_tensors(path)
            checkpoint.write_beside(self.run.path(BEST), config)
            files.write_bytes(self.run.path(BEST, checkpoint.MODEL), data)
        return [{"step": 0, "epoch": 0, "seconds": 0.0, **scores, "teacher": self._named()}]

    def batches(self, progress: Progress) -> Iterator[Batch]:
        """See `Material.batches`; these are not labelled yet."""
        return boosting.batches(
            self.gathering,
            progress,
            self.rejects,
            workers=self.options.workers,
            device=self.device,
        )

    def prepare(self, batch: Batch) -> Batch:
        """The teacher labels the unlabelled segments; then all is mixed."""
        assert isinstance(batch, UnlabelledBatch)
        found, from_all = self._pools(batch.segments), self.options.sampling != SONGS
        return boosting.compose(batch, found, self.heard, from_all=from_all)

    def _pools(self, segments: list[Segment]) -> Pools:
        if not segments:
            return Pools()
        mixture = torch.stack([one.mixture for one in segments]).to(self.device)
        target, found = self._hear(segments, mixture)
        self.heard.update(
            UNSURE if kind == _NOTHING else labels.OUTCOMES[kind] for kind in found.outcome.tolist()
        )
        return boosting.pools(segments, mixture, target, found)

    def _hear(self, segments: list[Segment], mixture: Tensor) -> tuple[Tensor, Labels]:
        """The target in each segment [segments, channels, samples], and the labels."""
        if not self.rules.online:
            known = [one.target for one in segments if one.target is not None]
            outcome = torch.tensor([one.outcome for one in segments], device=self.device)
            none = torch.zeros(len(segments))
            return torch.stack(known).to(self.device), Labels(outcome, none, none, none)
        # In full precision, whatever the student learns in.
        with devices.exactly(), torch.inference_mode():
            target, missed = self.teacher.separate(mixture, self.recipe.target)
            found = labels.label(mixture, target, missed)
            if self.rules.min_confidence:
                sure = labels.confidence(target, mixture - target) >= self.rules.min_confidence
                outcome = torch.where(sure | ~found.usable, found.outcome, _NOTHING)
                found = dataclasses.replace(found, outcome=outcome)
        return target.clone(), found

    def after_validation(
        self, nets: nn.Module, scores: dict[str, float], progress: Progress, *, best: bool
    ) -> dict[str, Any]:
        """A student that is better than its teacher replaces it; see `Material`."""
        heard = sum(map(Counter, self.world.gathered(dict(self.heard))), Counter[str]())
        facts = {"heard": dict(sorted(heard.items())), "teacher": self._named()}
        first = self.world.first
        if first and not any(heard[kind] for kind in labels.KINDS):
            tell(f"no unlabelled segment could be used: {facts['heard'] or 'none was asked for'}")
        self.total.update(heard)
        self.heard.clear()
        if best and self.rules.online:
            self.nets.load_state_dict(nets.state_dict())
            written = files.sha256(self.run.path(BEST, checkpoint.MODEL)) if first else ""
            self._follow(self.world.shared(written), scores["valid_loss"], progress.step)
            if first:
                tell(f"step {progress.step:,}: the student is better and becomes the teacher")
        return facts

    def lineage(self) -> list[dict[str, Any]]:
        """All teachers: those of earlier runs, then this run's."""
        return [*self.begun.trained.teachers, *self.teachers]

    def learnt_from(self) -> list[dict[str, Any]]:
        """See `Material.learnt_from`; also what the teacher hears."""
        return [*super().learnt_from(), *self.unlabelled.learnt_from]

    def parents(self) -> list[dict[str, Any]]:
        """See `Material.parents`: the first teacher."""
        return [self.begun.trained.descent("fine-tuned from it")]

    def record(self) -> dict[str, Any]:
        """Further facts for run.json."""
        begun = {"teachers": self.lineage(), "started_from": self.begun.trained.origin}
        return super().record() | begun

    def tensors(self) -> dict[str, Tensor]:
        """The teacher's weights if they change; else they are those of its checkpoint."""
        held = self.nets.state_dict() if self.rules.online else {}
        return {f"teacher.{name}": tensor for name, tensor in held.items()}

    def facts(self) -> dict[str, Any]:
        """What else a killed run needs."""
        return {"teachers": self.teachers, "heard": dict(self.heard), "total": dict(self.total)}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """See `Material.restore`."""
        if self.rules.online:
            held = {name.removeprefix("teacher."): tensor for name, tensor in tensors.items()}
            checkpoint.fit(self.nets, held)
            self.nets.load_state_dict(held)
        self.teachers = list(facts["teachers"])
        self.heard, self.total = Counter(facts["heard"]), Counter(facts["total"])
        self._name(self.teachers[-1]["sha256"])

    def counts(self) -> dict[str, int]:
        """For run.json: also those of the unlabelled set, and segments by their labels."""
        kinds = (*labels.OUTCOMES, UNSURE)
        heard = {f"segments_{kind}": self.total[kind] for kind in kinds}
        signals = {
            name: self.total[name]
            for side in ("targets", "residuals")
            for name in (f"{side}_labelled", f"{side}_unlabelled")
        }
        all_heard = {"segments_heard": sum(heard.values()), "teachers": len(self.teachers)}
        return super().counts() | self.unlabelled.counts | heard | all_heard | signals

    def _follow(self, sha256: str, score: float, step: int) -> None:
        self.teachers.append({"sha256": sha256, "score": score, "step": step})
        self._name(sha256)

    def _name(self, sha256: str) -> None:
        self.teacher = dataclasses.replace(self.teacher, sha256=sha256)

    def _named(self) -> str:
        return self.teacher.sha256[:12]
