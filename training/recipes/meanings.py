"""What each number of a recipe means, and from where to where it may lie: for `--help`."""

import math
from dataclasses import dataclass

from training.models.joint import MASKED, MERGES, WIRINGS
from training.recipes import bsrnn, complex_unet, cws
from training.recipes.answers import CONSTRAINTS
from training.recipes.base import Recipe
from training.recipes.values import LARGEST, ZERO_ALLOWED, many


@dataclass(frozen=True)
class Meaning:
    """A field in a sentence, and its range."""

    sentence: str
    choices: tuple[str, ...] = ()
    least: float | None = None  # itself allowed; None: as `Recipe` checks it
    below: float | None = None  # itself not allowed
    most: float | None = None  # itself allowed
    note: str = ""  # what else holds

    def shown(self, recipe: Recipe, name: str) -> str:
        """The sentence and the range."""
        parts = [self.range(recipe, name), self.note]
        return f"{self.sentence} [{'; '.join(part for part in parts if part)}]"

    def range(self, recipe: Recipe, name: str) -> str:
        """The range in words; empty where `note` alone says it."""
        first = many(getattr(recipe, name))[0] if many(getattr(recipe, name)) else ""
        if self.choices:
            return ", ".join(self.choices)
        if isinstance(first, bool):
            return "yes or no"
        if isinstance(first, str):
            return ""
        low, high = self.limits(name)
        zero = low == 0 and name not in ZERO_ALLOWED
        begin = "1" if zero and isinstance(first, int) else "above 0" if zero else f"{low:,.6g}"
        if self.below is not None:
            return f"{begin}, below {self.below:g}" if zero else f"{begin} to below {self.below:g}"
        if math.isinf(high):
            return begin if begin.startswith("above") else f"{begin} or more"
        return f"{begin}{', at most' if begin.startswith('above') else ' to'} {high:,.6g}"

    def limits(self, name: str) -> tuple[float, float]:
        """The least and the largest value; 0 alone is excluded where it is no ZERO_ALLOWED, and
        `below` itself."""
        high = next((v for v in (self.below, self.most, LARGEST.get(name)) if v is not None), None)
        return self.least or 0, math.inf if high is None else high


_OF_FAMILY = {
    ("joint", "target"): Meaning("the source that is estimated", note="vocals alone"),
    ("cws", "bands"): Meaning(
        "subbands K that the nets see, each at a K-th of the rate", tuple(map(str, cws.BANDS))
    ),
}
_OF_ALL = {
    "target": Meaning("the source that is estimated", note="small letters, digits and _"),
    "sample_rate": Meaning("rate in Hz to which songs are resampled", least=1000),
    "batch_size": Meaning("examples of a step"),
    "learning_rate": Meaning("of Adam, at the start"),
    "accumulate": Meaning(
        "parts in which a batch goes through the net, where memory is short",
        note="at most --batch-size",
    ),
    "ema_decay": Meaning(
        "share of itself that a moving average of the weights keeps each step, which then is "
        "validated and saved; 0: none",
        below=1,
    ),
    "beta1": Meaning("of Adam: how long it remembers gradients", below=1),
    "beta2": Meaning("of Adam: how long it remembers their squares", below=1),
    "decay": Meaning("factor of the learning rate, every --decay-every steps"),
    "decay_every": Meaning("steps between two decays of the learning rate"),
    "clip_norm": Meaning("norm to which gradients are scaled down where it is larger; 0: never"),
    "steps": Meaning("steps at most"),
    "validate_every": Meaning("steps between two validations"),
    "patience": Meaning("validations without a better loss before the run stops"),
    "log_every": Meaning("steps between two lines of the log"),
    "n_fft": Meaning("samples of a frame of the spectrogram"),
    "hop_length": Meaning(
        "samples from one frame to the next", note="below --n-fft, of some recipes at most half"
    ),
    "channels": Meaning("channels of the encoder's layers, from the first to the deepest"),
    "kernel_size": Meaning("of the convolutions, in bins and frames, or samples"),
    "leakiness": Meaning("slope of the encoder's rectifiers below 0"),
    "dropout": Meaning("probability with which a channel is dropped while the net learns", below=1),
    "remix_db": Meaning(
        "largest gain, up or down, in dB, at which targets change places in a batch; 0: they do not"
    ),
    "chunk_seconds": Meaning("length of the chunks in which songs are separated; 0: as a whole"),
    "patch_frames": Meaning("frames of a training example"),
    "dropout_layers": Meaning("layers of the decoder that have dropout, from its first on"),
    "skips": Meaning("whether the decoder sees the encoder's layers"),
    "wiring": Meaning("how pitch and separation see each other", tuple(WIRINGS)),
    "merge": Meaning("how bottlenecks of a cross-stitch become one", MERGES),
    "second_mask": Meaning("what the mask of a refined estimate multiplies", MASKED),
    "supervise_first": Meaning("whether estimates that are refined are learnt from too"),
    "vocals_weight": Meaning("of the vocals' loss (thesis, eq. 5.4)"),
    "salience_weight": Meaning("of the salience's loss (thesis, eq. 5.3)"),
    "salience_prior": Meaning("what fresh nets say of every pitch", below=1),
    "mask": Meaning("whether a mask turns phases too", complex_unet.MASKS),
    "loss": Meaning("what is learnt: waveforms, magnitudes or both", complex_unet.LOSSES),
    "sdr_weight": Meaning("α, of the loss of waveforms (thesis, eq. 6.12)"),
    "magnitude_weight": Meaning("β, of the loss of magnitudes (thesis, eq. 6.12)"),
    "net": Meaning("the kind of the two nets", cws.NETS),
    "bands": Meaning(
        "how the spectrum is split: up to so many Hz, bands so many Hz wide, and so on; the rest "
        "is one band"
    ),
    "width": Meaning("factor of the paper's numbers of channels", least=0.01, most=16),
    "patch_seconds": Meaning("length of a training example"),
    "window_ms": Meaning(
        "length of a frame, of which the next power of two in samples is taken", most=1000
    ),
    "hop_ms": Meaning("from one frame to the next", most=500, note="at most half of --window-ms"),
    "remix": Meaning("whether examples are the target of one song and the rest of another"),
    "swap_channels": Meaning("whether left and right of target and rest swap, at even odds"),
    "schedule": Meaning(
        "audio: what is stated in hours of it follows batches and patches", cws.SCHEDULES
    ),
    "gain_low": Meaning(
        "least factor of the target and of the rest in an example", note="at most --gain-high"
    ),
    "gain_high": Meaning("largest factor of the target and of the rest in an example"),
    "conservation_weight": Meaning("of what both estimates together miss (CWS, eq. 7)"),
    "others": Meaning(
        "sources that are mixed with the target, each of a song of its own; none: songs as they "
        "are",
        note="names of sources, other than --target",
    ),
    "gain_db": Meaning("largest gain, up or down, in dB, at which a source is mixed"),
    "drop": Meaning("probability that a source is left out of a mixture", below=1),
    "mix_constraint": Meaning("in what mixed songs are alike", CONSTRAINTS),
    "features": Meaning("N, of each band"),
    "layers": Meaning("layers, each an LSTM over time and one over bands"),
    "hidden": Meaning("units of an LSTM's direction"),
    "mask_hidden": Meaning("units of the hidden layer that estimates a band's mask"),
    "norm": Meaning("over what a band is normalised", bsrnn.NORMS),
    "stride": Meaning("of the encoder's convolutions, in samples", note="at most --kernel-size"),
    "context": Meaning("taps before each of the decoder's transposed convolutions", note="odd"),
    "lstm_layers": Meaning("layers of the LSTM between encoder and decoder"),
    "flip_signs": Meaning("whether target and rest change their signs, at even odds"),
}


def of(recipe: Recipe, name: str) -> Meaning:
    """The meaning of a recipe's field; of one that nobody described its name."""
    known = _OF_FAMILY.get((recipe.family, name)) or _OF_ALL.get(name)
    return known or Meaning(name.replace("_", " "))


def is_described(recipe: Recipe, name: str) -> bool:
    """Whether somebody did."""
    return name in _OF_ALL or (recipe.family, name) in _OF_FAMILY


def shown(recipe: Recipe, name: str) -> str:
    """A recipe's field as `--help` has it."""
    return of(recipe, name).shown(recipe, name)
