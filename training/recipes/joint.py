"""Recipes of the thesis, chapter 5: vocals and their pitch together."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemlode.shards.salience import HOP_LENGTH, ROWS, SAMPLE_RATE
from training.models import losses, spectrogram
from training.models.joint import MASKED, MERGES, WIRINGS, Heard, Joint
from training.models.spectrogram import Waveform
from training.recipes.answers import Judged, Transform
from training.recipes.masking import Masking
from training.recipes.unet import UNetRecipe


@dataclasses.dataclass(frozen=True)
class JointRecipe(UNetRecipe):
    """One of the ten networks of figures 5.3 and 5.5, and its training (5.3).

    The loss is eq. 5.4 of means, so that neither task's weight depends on how many rows it has. The
    U-Nets, Adam, and the level of songs are those of chapter 4.
    """

    family: ClassVar[str] = "joint"
    summed: ClassVar[bool] = False

    sample_rate: int = SAMPLE_RATE  # 22,050 Hz, mono (5.2)
    hop_length: int = HOP_LENGTH  # 256 samples
    wiring: str = "source-to-pitch"
    merge: str = "convolution"  # of a cross-stitch's bottlenecks; or concatenation
    second_mask: str = "mixture"  # what the mask of a refined estimate multiplies; or estimate
    supervise_first: bool = False  # whether estimates that are refined are learnt from too
    vocals_weight: float = 1.0  # of eq. 5.2 in eq. 5.4
    salience_weight: float = 1.0  # of eq. 5.3
    # What fresh nets say of every pitch; nets that were trained before there was this began at 0.5.
    salience_prior: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        known = {"wiring": tuple(WIRINGS), "merge": MERGES, "second_mask": MASKED}
        for field, values in known.items():
            if getattr(self, field) not in values:
                raise ValueError(
                    f"{field} is {getattr(self, field)!r}, not one of {', '.join(values)}"
                )
        if self.salience_prior >= 1:
            raise ValueError(f"salience_prior is {self.salience_prior}; it must lie in (0, 1)")
        if self.target != "vocals":
            raise ValueError(f"target is {self.target!r}; the networks of chapter 5 are of vocals")
        grid = {"sample_rate": SAMPLE_RATE, "hop_length": HOP_LENGTH}
        for field, wanted in grid.items() if self.needs_salience else ():
            if getattr(self, field) != wanted:
                raise ValueError(
                    f"{field} is {getattr(self, field)}; salience lies on a grid of {wanted}"
                )
        if self.needs_salience and self.n_fft // 2 < ROWS:
            raise ValueError(
                f"n_fft is {self.n_fft}; its half must hold the salience's {ROWS} rows"
            )

    @property
    def kind(self) -> type[Joint]:
        """The network's wiring."""
        return WIRINGS[self.wiring]

    @property
    def separates(self) -> bool:
        """See `Recipe.separates`: by mixtures alone."""
        return "vocals" in self.kind.gives and not self.kind.sees

    @property
    def needs_salience(self) -> bool:
        """See `Recipe.needs_salience`."""
        return "salience" in (*self.kind.learns, *self.kind.sees)

    @property
    def hears(self) -> bool:
        """See `Recipe.hears`."""
        return "salience" in self.kind.gives

    @property
    def told(self) -> tuple[str, ...]:
        """See `Recipe.told`."""
        return self.kind.sees

    @property
    def masking(self) -> Masking:
        """How masks of whole songs are made; a net that sees another's output sees further."""
        one = super().masking
        depth = self.kind.depth
        return dataclasses.replace(one, margin=depth * one.margin, pieces=2 * depth)

    @property
    def needs_weights(self) -> tuple[str, ...]:
        """See `Recipe.needs_weights`."""
        return tuple(f"{name}." for name in self.kind.frozen)

    @property
    def transform(self) -> Transform | None:  # type: ignore[override]
        """See `Recipe.transform`; oracles are no use without the truth."""
        return None if self.told else super().transform

    def salience(self, nets: nn.Module, given: Tensor) -> Tensor:
        """See `Recipe.salience`."""
        assert isinstance(nets, Joint)
        found = nets.hear(given, given, given).salience
        assert found is not None
        return found[:, 0, :ROWS]

    def core(self) -> Joint:
        """Normalised magnitudes in, a mask out; `Joint.hear` gives all that it makes of them."""
        fresh = self.kind(self.unet, merge=self.merge, masked=self.second_mask)
        return fresh.expect(self.salience_prior)

    def judge(
        self, nets: nn.Module, mixture: Tensor, reference: Tensor, residual: Tensor
    ) -> Judged:
        """See `Recipe.judge`; for what measures costs, with a salience of zeros."""
        frames = max(1, mixture.shape[-1] // self.hop_length)
        silent = mixture.new_zeros(len(mixture), ROWS, frames)
        return self.judge_with_salience(nets, mixture, reference, residual, silent)

    def judge_with_salience(
        self,
        nets: nn.Module,
        mixture: Tensor,
        reference: Tensor,
        residual: Tensor,
        salience: Tensor,
    ) -> Judged:
        """See `Recipe.judge_with_salience`; eq. 5.2 to 5.4."""
        assert isinstance(nets, Joint)
        given, wanted = self.magnitudes(mixture, reference, residual)
        bins, frames = given.shape[-2:]
        more = (0, frames - salience.shape[-1], 0, bins - salience.shape[-2])
        S = F.pad(salience, more)[:, None]  # [batch, 1, bins, frames]; the first rows are its own
        heard = nets.hear(given, wanted, S)
        terms = self._terms(heard, wanted, S)
        learnt = [name for name in terms if self._weight(name)]
        loss = torch.stack([self._weight(name) * terms[name] for name in learnt]).sum(0)
        told = {name: terms[name] if name in learnt else terms[name].detach() for name in terms}

        mask = heard.mask
        return Judged(loss, told, None if mask is None else lambda: self.through(mask, mixture))

    def hear(self, nets: nn.Module, signal: Waveform, **told: Tensor) -> Iterator[Tensor]:
        """See `Recipe.hear`; the whole song on one grid, normalised by its maximum."""

        def salience(heard: Heard) -> Tensor:
            assert heard.salience is not None
            return heard.salience[0, 0, :ROWS]

        yield from self._song(nets, signal, told, salience)

    def separate_told(self, nets: nn.Module, signal: Waveform, **told: Tensor) -> Iterator[Tensor]:
        """See `Recipe.separate_told`."""

        def mask(heard: Heard) -> Tensor:
            assert heard.mask is not None
            return spectrogram.restore_bin(heard.mask[0, 0])

        yield from self.masking.masked(signal, self._song(nets, signal, told, mask))

    def _song(
        self,
        nets: nn.Module,
        signal: Waveform,
        told: dict[str, Tensor],
        of: Callable[[Heard], Tensor],
    ) -> Iterator[Tensor]:
        """Pieces of what the network makes of a song, given what it must be told."""
        assert isinstance(nets, Joint)
        if missing := set(self.told) - set(told):
            raise ValueError(f"{self.name} must be told the {' and '.join(sorted(missing))}")
        device = next(nets.parameters()).device
        peak = self.masking.peak_magnitude(signal)
        # Whole songs may be long, so they are read piece by piece unless the truth lies beside.
        known = []
        if "vocals" in self.told:
            signal = torch.cat((signal[:1, :], told["vocals"]))
        if "salience" in self.told:
            salience = told["salience"]
            frames = spectrogram.frame_count(signal.shape[-1], self.hop_length)
            more = (0, frames - salience.shape[-1], 0, self.n_fft // 2 - len(salience))
            known = [F.pad(salience, more)]

        def heard(spectrum: Tensor, *salience: Tensor) -> Tensor:
            scaled = spectrogram.drop_bin(spectrum.abs()) / (peak or 1.0)
            parts = (scaled[0], scaled[-1], *(salience or (scaled[0],)))
            return of(nets.hear(*(part[None, None].to(device) for part in parts)))

        yield from self.masking.masks(signal, heard, *known)

    def _terms(self, heard: Heard, vocals: Tensor, salience: Tensor) -> dict[str, Tensor]:
        terms = {}
        if heard.vocals is not None:
            terms["vocals"] = losses.l1_mean(heard.vocals, vocals)
        if heard.salience is not None:
            rows = (heard.salience[:, :, :ROWS], salience[:, :, :ROWS])
            terms["salience"] = losses.l2_mean(*rows)
        if heard.first is not None:
            first = self._terms(heard.first, vocals, salience)
            terms |= {f"first_{name}": term for name, term in first.items()}
        return terms

    def _weight(self, term: str) -> float:
        """What a term counts in what is learnt."""
        name = term.removeprefix("first_")
        if name not in self.kind.learns or (name != term and not self.supervise_first):
            return 0.0
        return self.vocals_weight if name == "vocals" else self.salience_weight


SUMMARIES = {
    "pitch-only": "salience of the vocals from the mixture",
    "source-only": "vocals from the mixture, at the rate of the others",
    "oracle-vocals": "salience from the true vocals",
    "oracle-pitch": "vocals from the mixture and its true salience",
    "shared-encoder": "one encoder, a decoder for each task",
    "cross-stitch": "an encoder and a decoder for each task, joined at the bottleneck",
    "source-to-pitch": "vocals, then their salience from these",
    "pitch-to-source": "salience, then vocals by it",
    "separately-trained": "source-to-pitch, its first net that of --from, which does not learn",
    "stacked-refinement": "source-to-pitch twice, S→P→S→P, the second time by the first estimates",
}


def _recipe(wiring: str) -> JointRecipe:
    return JointRecipe(
        name=f"joint-{wiring}",
        summary=f"U-Nets of the thesis, ch. 5: {SUMMARIES[wiring]}",
        target="vocals",
        wiring=wiring,
        salience_prior=0.005,  # its mean in vocals
    )


def _small(recipe: JointRecipe) -> JointRecipe:
    """A sibling for a CPU, with a quarter of the channels."""
    return dataclasses.replace(
        recipe,
        name=f"{recipe.name}-small",
        summary=f"{recipe.name} at a quarter of the width, for a CPU",
        channels=tuple(count // 4 for count in recipe.channels),
        batch_size=8,
        learning_rate=1e-3,
        steps=1500,
        validate_every=100,
        patience=10,
        log_every=10,
    )


RECIPES = tuple(
    sibling for wiring in WIRINGS for sibling in (_recipe(wiring), _small(_recipe(wiring)))
)

# What stands in [] may be left out.
NAMES = (
    (
        "joint-{pitch-only,source-only,oracle-vocals,oracle-pitch}[-small]",
        "U-Nets of chapter 5 of one task, alone or with the other's truth",
    ),
    (
        "joint-{shared-encoder,cross-stitch,source-to-pitch,pitch-to-source}[-small]",
        "U-Nets of chapter 5 that separate vocals and hear their pitch",
    ),
    (
        "joint-{separately-trained,stacked-refinement}[-small]",
        "source-to-pitch, its first net trained before; source-to-pitch twice",
    ),
)
