"""What is trained, and how: one frozen dataclass a recipe, with every number in it."""

import dataclasses
import math
import types
import typing
from typing import Any, ClassVar

from torch import nn

from training.unet import CHANNELS, UNet

TARGETS = ("vocals", "accompaniment")
LARGEST = {"sample_rate": 192_000, "n_fft": 65_536, "patch_frames": 65_536, "batch_size": 65_536}
LARGEST |= {"channels": 65_536, "kernel_size": 255}
ZERO_ALLOWED = {"beta1", "dropout", "dropout_layers", "leakiness", "remix_db"}


def _many(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _shown(value: Any) -> str:
    return " ".join(map(str, _many(value)))


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What every recipe has. A family of models subclasses it and says how to build its core."""

    family: ClassVar[str]

    name: str
    summary: str
    target: str  # the source that the net estimates: vocals or accompaniment
    sample_rate: int = 8192  # Hz; audio is mixed to mono and resampled to this
    n_fft: int = 1024  # samples
    hop_length: int = 768  # samples
    patch_frames: int = 128  # frames of one training example; 12 s
    batch_size: int = 16  # examples a step
    learning_rate: float = 2e-4  # of Adam
    beta1: float = 0.5  # of Adam
    beta2: float = 0.999  # of Adam
    steps: int = 200_000  # at most
    validate_every: int = 1000  # steps
    patience: int = 20  # validations without a better loss before the run stops
    log_every: int = 50  # steps
    remix_db: float = 0.0  # above 0, vocals change places in a batch, at up to ± this gain

    def __post_init__(self) -> None:
        """Raises ValueError naming the field that cannot be."""
        if self.target not in TARGETS:
            raise ValueError(f"target is {self.target!r}, not one of {', '.join(TARGETS)}")
        for field, value in dataclasses.asdict(self).items():
            numbers = [v for v in _many(value) if not isinstance(v, str)]
            if not all(math.isfinite(number) and number >= 0 for number in numbers):
                raise ValueError(f"{field} is {_shown(value)}")
            if field not in ZERO_ALLOWED and 0 in numbers:
                raise ValueError(f"{field} is {_shown(value)}; it must be above 0")
            if max(numbers, default=0) > LARGEST.get(field, math.inf):
                raise ValueError(f"{field} is {_shown(value)}; at most {LARGEST[field]}")
        if self.sample_rate < 1000:
            raise ValueError(f"sample_rate is {self.sample_rate}; at least 1000 Hz")
        if not 0 <= self.beta1 < 1 or not 0 <= self.beta2 < 1:
            raise ValueError("beta1 and beta2 must lie in [0, 1)")
        if self.hop_length >= self.n_fft:
            raise ValueError(
                f"hop_length is {self.hop_length}; it must be below n_fft, {self.n_fft}"
            )

    @property
    def patch_samples(self) -> int:
        """Length of a training example at the recipe's sample rate."""
        return self.patch_frames * self.hop_length

    def core(self) -> nn.Module:
        """The net, freshly initialised: normalised magnitudes in, a mask out."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class UNetRecipe(Recipe):
    """The U-Net of the thesis, chapter 4, and its training (4.2.2).

    The loss is the L1 norm of eq. 4.2: a sum over bins and frames, averaged over the batch. With
    the mean over all bins instead, gradients come near Adam's epsilon, for music is mostly silent
    bins; with the sum, batch size and loss do not interact and the learning rate means the same.
    """

    family: ClassVar[str] = "unet"

    channels: tuple[int, ...] = CHANNELS  # of the encoder's layers
    kernel_size: int = 5
    leakiness: float = 0.2
    dropout: float = 0.5
    dropout_layers: int = 3  # the first ones of the decoder

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must lie in [0, 1)")
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {self.kernel_size}; it must be odd")
        if not 1 <= len(self.channels) <= 16 or self.n_fft // 2 % 2 ** len(self.channels):
            raise ValueError(
                f"channels has {len(self.channels)} layers, and half of n_fft, {self.n_fft // 2}, "
                "cannot be halved so often"
            )

    def core(self) -> UNet:
        """See `Recipe.core`."""
        return UNet(
            self.channels, self.kernel_size, self.leakiness, self.dropout, self.dropout_layers
        )


# Two independent nets, as in the thesis: "to allow for more divergent training schemes".
_VOCALS = UNetRecipe(
    name="unet-vocals",
    summary="U-Net of the thesis, ch. 4, that estimates the vocals",
    target="vocals",
)
_INSTRUMENTAL = dataclasses.replace(
    _VOCALS,
    name="unet-instrumental",
    summary="U-Net of the thesis, ch. 4, that estimates the accompaniment",
    target="accompaniment",
)


def _small(recipe: UNetRecipe) -> UNetRecipe:
    """A sibling that learns from tens of songs in two minutes on two CPU cores.

    With so few songs a net learns them by heart; remixing is worth 1 dB on songs it never heard.
    """
    return dataclasses.replace(
        recipe,
        name=f"{recipe.name}-small",
        summary=f"{recipe.name} with a quarter of the parameters and faster steps, for a CPU",
        channels=(8, 16, 32, 64, 128, 256),
        batch_size=8,
        learning_rate=5e-4,
        steps=700,
        validate_every=50,
        patience=10,
        log_every=10,
        remix_db=6.0,
    )


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (_VOCALS, _small(_VOCALS), _INSTRUMENTAL, _small(_INSTRUMENTAL))
}


def build(name: str) -> nn.Module:
    """The core of a recipe by its name; KeyError for a name that is none."""
    return RECIPES[name].core()


def describe(recipe: Recipe) -> str:
    """A recipe as readable lines, one field each."""
    fields = dataclasses.asdict(recipe)
    width = max(map(len, fields))
    return "\n".join(f"{name:<{width}}  {_shown(value)}" for name, value in fields.items())


def override(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """The recipe with some fields replaced; ValueError where a value cannot be."""
    return dataclasses.replace(recipe, **values)


def overridable(recipe: Recipe) -> dict[str, type]:
    """Fields that a user may set, with the type of the value (of each value, for a tuple)."""
    hints = typing.get_type_hints(type(recipe))
    return {
        field.name: _element(hints[field.name])
        for field in dataclasses.fields(recipe)
        if field.name not in ("name", "summary")
    }


def to_fields(recipe: Recipe) -> dict[str, Any]:
    """Everything that `from_fields` needs, as JSON values."""
    return {"family": recipe.family, **dataclasses.asdict(recipe)}


def from_fields(fields: dict[str, Any]) -> Recipe:
    """A recipe from JSON values that nobody vouches for; ValueError names what is wrong."""
    if not isinstance(fields, dict):
        raise ValueError("the recipe is no object")
    families = {recipe.family: type(recipe) for recipe in RECIPES.values()}
    family = families.get(str(fields.get("family")))
    if family is None:
        raise ValueError(f"model family {fields.get('family')!r} is unknown")
    values = {name: value for name, value in fields.items() if name != "family"}
    hints = {field.name: typing.get_type_hints(family)[field.name] for field in _fields(family)}
    if set(values) != set(hints):
        odd = sorted(set(values) ^ set(hints))[0]
        raise ValueError(f"recipe field {odd!r} is missing or unknown")
    return family(**{name: _checked(name, value, hints[name]) for name, value in values.items()})


def _fields(family: type[Recipe]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(family)


def _element(hint: Any) -> type:
    """`int` for `tuple[int, ...]`, else the type itself."""
    return typing.get_args(hint)[0] if isinstance(hint, types.GenericAlias) else hint


def _checked(name: str, value: Any, hint: Any) -> Any:
    """A JSON value as the field's type; ValueError where it is another."""
    wanted = _element(hint)
    many = isinstance(hint, types.GenericAlias)
    if many != isinstance(value, (list, tuple)):
        raise ValueError(f"recipe field {name} is {value!r}")
    for item in value if many else [value]:
        whole = isinstance(item, int) and not isinstance(item, bool)
        if not (isinstance(item, wanted) and (whole or wanted is not int)) and not (
            wanted is float and whole
        ):
            raise ValueError(f"recipe field {name} is {value!r}, not {wanted.__name__}")
    return tuple(value) if many else wanted(value)
