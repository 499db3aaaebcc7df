"""What recipes answer: how examples are mixed, what a pass says of a batch, and the transform."""

import dataclasses
from collections.abc import Callable

from torch import Tensor

from training.recipes.values import SOURCE

CONSTRAINTS = ("none", "tempo", "key", "genre")


@dataclasses.dataclass(frozen=True)
class Mixing:
    """How examples are mixed on the fly from sources of random songs (BSRNN IV-A-2).

    Raises ValueError naming the field that cannot be.
    """

    target: str
    others: tuple[str, ...]  # mixed with the target, each of a song of its own
    patch_seconds: float  # length of an example
    gain_db: float  # each source is mixed at up to ± this gain
    drop: float  # probability that a source is left out of a mixture
    mix_constraint: str = "none"  # or tempo, key or genre: in which mixed songs shall be alike

    def __post_init__(self) -> None:
        if self.drop >= 1:
            raise ValueError(f"drop is {self.drop}; it must lie in [0, 1)")
        if self.mix_constraint not in CONSTRAINTS:
            wanted = ", ".join(CONSTRAINTS)
            raise ValueError(f"mix_constraint is {self.mix_constraint!r}, not one of {wanted}")
        for other in self.others:
            if not SOURCE.fullmatch(other) or other == self.target:
                raise ValueError(f"others names {other!r}, not another source than the target")

    @property
    def sources(self) -> tuple[str, ...]:
        """The target, then the others."""
        return (self.target, *self.others)


@dataclasses.dataclass(frozen=True)
class Judged:
    """What one pass of the nets says of a batch."""

    loss: Tensor  # [batch]: what is learnt
    terms: dict[str, Tensor]  # [batch] each: the losses by name, also those that are not learnt
    estimate: (
        Callable[[], Tensor] | None
    )  # of the target, [batch, channels, samples]; if it has one


@dataclasses.dataclass(frozen=True)
class Transform:
    """The transform around a recipe's nets, for those who run the nets elsewhere.

    Nets take a spectrogram [batch, parts, bins, frames] and give a mask of that shape each. They
    see the lowest `bins` bins; where that is one less than the transform has, the highest bin takes
    the mask of the one below.
    """

    n_fft: int  # samples; of one of the subbands, where there are several
    hop_length: int  # samples, likewise
    bins: int
    parts: tuple[str, ...]  # what the second axis holds: magnitude, real, imaginary, …
    channels: int = 1  # that one item of a batch holds
    window: str = "hann"
    bands: int = 1  # subbands (`training.models.filterbank`)
    divided_by: int | str = 1  # what a song's spectrogram is divided by
    # How a mask is applied: to magnitudes (`real`), as complex numbers, or to each of the parts.
    mask: str = "complex"
    # What one item of a batch sees of a song: the mean of its channels, each channel, or both.
    channels_seen: str = "each"
    inverted: bool = False  # whether `separated` is what the masks leave
