"""What every recipe has: a frozen dataclass with every number of a training run in it.

A family of models subclasses `Recipe`, adds its own numbers and says how its net is built, what its
loss is and how a trained net estimates sources. Training, evaluation and separation know no family:
they hand waveforms over and get losses or waveforms back. Everything at the recipe's sample rate.
"""

import dataclasses
import math
import re
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

SOURCE = re.compile(r"[a-z][a-z0-9_]{0,40}")
LARGEST = {"sample_rate": 192_000, "n_fft": 65_536, "patch_frames": 65_536, "batch_size": 65_536}
LARGEST |= {"channels": 65_536, "kernel_size": 255, "patch_seconds": 3600, "decay": 1}
LARGEST |= {"features": 65_536, "hidden": 65_536, "mask_hidden": 65_536, "layers": 256}
LARGEST |= {"bands": 192_000, "gain_db": 120}
ZERO_ALLOWED = {"beta1", "dropout", "dropout_layers", "leakiness", "remix_db", "clip_norm"}
ZERO_ALLOWED |= {"gain_db", "drop", "conservation_weight", "ema_decay"}


def many(value: Any) -> tuple[Any, ...]:
    """A field's values: its own where it holds several."""
    return value if isinstance(value, tuple) else (value,)


def rest_of(source: str) -> str:
    """The name of a mixture without a source."""
    named = {"vocals": "accompaniment", "accompaniment": "vocals"}
    return named.get(source, f"no_{source}")


def shown(value: Any) -> str:
    """A field's value as people read it."""
    return " ".join(map(str, many(value)))


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Subclasses set `family` and `audio_channels`, and implement the methods that raise here."""

    family: ClassVar[str]
    audio_channels: ClassVar[int] = 1  # of a training example; 1 is the mean of a song's channels
    summed: ClassVar[bool] = False  # whether the loss of an example grows with its length

    name: str
    summary: str
    target: str  # the source that the net estimates: vocals, accompaniment, drums, …
    sample_rate: int  # Hz; audio is resampled to this
    batch_size: int  # examples a step
    learning_rate: float  # of Adam, at the start
    accumulate: int = 1  # parts that a batch goes through the net in, where memory is short
    ema_decay: float = 0.0  # above 0, a moving average of the weights is validated and saved
    beta1: float = 0.9  # of Adam
    beta2: float = 0.999  # of Adam
    decay: float = 1.0  # of the learning rate, every `decay_every` steps
    decay_every: int = 1_000_000  # steps
    clip_norm: float = 0.0  # above 0, gradients are scaled down to at most this norm
    steps: int = 200_000  # at most
    validate_every: int = 1000  # steps
    patience: int = 20  # validations without a better loss before the run stops
    log_every: int = 50  # steps

    def __post_init__(self) -> None:
        """Raises ValueError naming the field that cannot be."""
        if not isinstance(self.target, str) or not SOURCE.fullmatch(self.target):
            raise ValueError(f"target is {self.target!r}, not the name of a source")
        for field, value in dataclasses.asdict(self).items():
            numbers = [v for v in many(value) if not isinstance(v, str)]
            if not all(math.isfinite(number) and number >= 0 for number in numbers):
                raise ValueError(f"{field} is {shown(value)}")
            if field not in ZERO_ALLOWED and 0 in [n for n in numbers if n is not False]:
                raise ValueError(f"{field} is {shown(value)}; it must be above 0")
            if max(numbers, default=0) > LARGEST.get(field, math.inf):
                raise ValueError(f"{field} is {shown(value)}; at most {LARGEST[field]}")
        if self.sample_rate < 1000:
            raise ValueError(f"sample_rate is {self.sample_rate}; at least 1000 Hz")
        for field in ("beta1", "beta2", "ema_decay"):
            if getattr(self, field) >= 1:
                raise ValueError(f"{field} is {getattr(self, field)}; it must lie in [0, 1)")
        if self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate is {self.accumulate}; at most batch_size, {self.batch_size}"
            )

    @property
    def patch_samples(self) -> int:
        """Length of a training example at the recipe's sample rate."""
        raise NotImplementedError

    @property
    def least_loss(self) -> float:
        """What a perfect estimate's loss is."""
        return 0.0

    @property
    def remixes(self) -> bool:
        """Whether targets change places in a batch."""
        return False

    def gains(self, count: int) -> tuple[Tensor, Tensor]:
        """Random factors, [count] each, for the targets and the rest of remixed examples."""
        return torch.ones(count), torch.ones(count)

    @property
    def estimated(self) -> tuple[str, ...]:
        """The sources that `estimate` gives, in its order."""
        return (self.target,)

    def core(self) -> nn.Module:
        """The net of one source without STFT, freshly initialised."""
        raise NotImplementedError

    def nets(self) -> nn.Module:
        """What is trained and saved: the core, or the cores that are trained together."""
        return self.core()

    def level(self, mixture: Tensor) -> float:
        """The largest of these over a song, float32 [channels, samples] each, divides the song."""
        return 1.0

    def losses(
        self, nets: nn.Module, mixture: Tensor, reference: Tensor, residual: Tensor
    ) -> Tensor:
        """The loss of each example of a batch, [batch].

        mixture: float32 [batch, audio_channels, samples]; reference: likewise, the target, or the
        accompaniment that leaves it where `residual` (bool [batch]) is true.
        """
        raise NotImplementedError

    def estimate(self, nets: nn.Module, mixture: Tensor) -> Tensor:
        """float32 [batch, channels, samples] of any length and number of channels → the estimated
        sources, [batch, sources, channels, samples]."""
        raise NotImplementedError

    def oracle(self, mixture: Tensor, references: Tensor) -> Tensor:
        """The best that such a net could give: mixture [batch, channels, samples] and the true
        sources [batch, sources, channels, samples] → estimates of that shape.

        A complex mask without bounds can give the sources themselves.
        """
        return references

    def learning_rate_after(self, steps: int) -> float:
        """The rate for the step that comes after so many."""
        return self.learning_rate * self.decay ** (steps // self.decay_every)
