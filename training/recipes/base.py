"""What every recipe has: a frozen dataclass with every number of a training run in it.

A family of models subclasses `Recipe`, adds its own numbers and says what the rest of the program
needs to know of it. Nothing outside `training/models` and `training/recipes` asks which family a
recipe is of: waveforms go in, losses or waveforms come out, all at the recipe's sample rate.

A new family must say
    patch_samples       how long a training example is
    core                how a net is built
    judge               what is learnt: the losses of a batch, and the estimate
    estimate            what a trained net makes of a mixture
and may say, where it differs from what stands here,
    follows             which numbers follow from others that a user sets
    nets, cores         several nets that are trained together
    estimated           the sources that `estimate` gives
    own_chunks, separate_whole              in which chunks songs are separated, or as a whole
    separated, separate, estimate_songs     how songs are separated
    song_level, estimate_chunks, sight      likewise, for what passes gradients through a song
    oracle, separate_by_oracle              the best that such a net could do
    mixing, remixes, gains                  how its examples are mixed
    levelled, level                         what a song is divided by
    separates           whether it separates mixtures at all
    hears, hear, told, separate_told        whether it hears the pitch of songs, and oracles
    needs_salience, judge_with_salience     whether it learns from salience
    needs_weights       which weights must come from elsewhere
    transform           the transform around its nets, without which they cannot be exported
    tunable             which of its numbers fine-tuning may change
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from training.models.spectrogram import Waveform
from training.recipes import chunks, values
from training.recipes.answers import Judged, Mixing, Transform
from training.recipes.chunks import Chunking
from training.recipes.values import SOURCE, rest_of


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Subclasses set `family` and implement at least the methods that raise here."""

    family: ClassVar[str]
    audio_channels: ClassVar[int] = 1  # of a training example; 1 is the mean of a song's channels
    summed: ClassVar[bool] = False  # whether the loss of an example grows with its length
    levelled: ClassVar[bool] = False  # whether songs are divided by their `level`
    # Whether TF32 keeps what it separates above 60 dB (`benchmarks/tf32.py`).
    tf32: ClassVar[bool] = False
    recomputes: ClassVar[bool] = False  # whether there are `blocks`
    takes_whole: ClassVar[bool] = False  # whether `separate_whole` is there
    # Segments of three seconds that a teacher labels at once: what a GPU of 8 GB has room for.
    segments_at_once: ClassVar[int] = 8
    # What fine-tuning may change; all else belongs to the net, whose weights are there.
    tunable: ClassVar[tuple[str, ...]] = (
        *("batch_size", "learning_rate", "decay", "decay_every", "clip_norm", "accumulate"),
        *("ema_decay", "steps", "validate_every", "patience", "log_every"),
    )

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
        values.check(dataclasses.asdict(self))
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

    def learning_rate_after(self, steps: int) -> float:
        """The rate for the step that comes after so many."""
        return self.learning_rate * self.decay ** (steps // self.decay_every)

    def without_dropout(self) -> "Recipe":
        """The same recipe without dropout in its nets."""
        has = any(field.name == "dropout" for field in dataclasses.fields(self))
        return dataclasses.replace(self, dropout=0.0) if has else self  # type: ignore[call-arg]

    def follows(self, values: dict[str, Any]) -> dict[str, Any]:
        """Further fields that change with `values`, which a user sets: none of them among these."""
        return {}

    # How examples are made.

    @property
    def mixing(self) -> Mixing | None:
        """How examples are mixed from sources of random songs; None: songs as they are."""
        return None

    def checked_mixing(self) -> Mixing:
        """`mixing`; ValueError where there is none, with what to do about that."""
        if self.mixing is None:
            raise ValueError(f"{self.name} learns songs as they are and cannot mix sources of many")
        return self.mixing

    @property
    def remixes(self) -> bool:
        """Whether targets change places in a batch."""
        return False

    @property
    def swaps_channels(self) -> bool:
        """Whether in remixed examples left and right of target and rest are swapped, each at even
        odds."""
        return False

    def gains(self, count: int) -> tuple[Tensor, Tensor]:
        """Random factors, [count] each, for the targets and the rest of remixed examples."""
        return torch.ones(count), torch.ones(count)

    def level(self, mixture: Tensor) -> float:
        """The level of a sample [channels, samples]. If `levelled`, each song is divided by the
        largest level of its samples."""
        return 1.0

    @property
    def needs_salience(self) -> bool:
        """Whether it learns from the salience that `stemlode salience` wrote beside a corpus; then
        by `judge_with_salience`, and its patches begin where a frame of that is centred."""
        return False

    # What is trained.

    @property
    def needs_weights(self) -> tuple[str, ...]:
        """How the names of the nets' tensors begin that do not learn, but come from `--from`."""
        return ()

    def core(self) -> nn.Module:
        """The net of one source without STFT, freshly initialised."""
        raise NotImplementedError

    def nets(self) -> nn.Module:
        """What is trained and saved: the core, or the cores that are trained together."""
        return self.core()

    def cores(self, nets: nn.Module) -> list[nn.Module]:
        """The cores of `nets`, each [batch, parts, bins, frames] → a mask of that shape, in the
        order of `estimated`."""
        return [nets]

    def blocks(self, nets: nn.Module) -> list[nn.Module]:
        """Parts of `nets` whose activations may be computed again (`training.recompute`);
        none where batch normalisation would count its statistics twice."""
        return []

    @property
    def transform(self) -> Transform | None:
        """The transform around the cores; None: they cannot be exported."""
        return None

    def judge(
        self, nets: nn.Module, mixture: Tensor, reference: Tensor, residual: Tensor
    ) -> Judged:
        """The losses of a batch, and the nets' estimate, by one pass of the nets.

        mixture: float32 [batch, audio_channels, samples]; reference: of that shape, the target, or
        where `residual` (bool [batch]) is true the accompaniment, mixture − target.
        """
        raise NotImplementedError

    def losses(
        self, nets: nn.Module, mixture: Tensor, reference: Tensor, residual: Tensor
    ) -> Tensor:
        """What is learnt of each example of a batch, [batch]; arguments as for `judge`."""
        return self.judge(nets, mixture, reference, residual).loss

    def judge_with_salience(
        self,
        nets: nn.Module,
        mixture: Tensor,
        reference: Tensor,
        residual: Tensor,
        salience: Tensor,
    ) -> Judged:
        """`judge` if it `needs_salience`: float32 [batch, rows, frames], that of the target; frame
        t is centred on sample t · hop of the example."""
        raise NotImplementedError

    def judge_given(self, nets: nn.Module, *given: Tensor) -> Judged:
        """`judge`, or where a salience is given too `judge_with_salience`."""
        judge = self.judge_with_salience if len(given) > 3 else self.judge
        return judge(nets, *given)

    # What a trained net gives.

    @property
    def separates(self) -> bool:
        """Whether mixtures alone can be separated: not by a net that hears pitch alone, nor by one
        that must be told it."""
        return True

    @property
    def hears(self) -> bool:
        """Whether `hear` gives the salience of a song's vocals."""
        return False

    @property
    def told(self) -> tuple[str, ...]:
        """What of the truth it must be told of a song, as an oracle: vocals or salience."""
        return ()

    def salience(self, nets: nn.Module, given: Tensor) -> Tensor:
        """What `nets` hear in what a core takes: [batch, parts, bins, frames] → [batch, rows,
        frames]."""
        raise NotImplementedError

    def hear(self, nets: nn.Module, signal: Waveform, **told: Tensor) -> Iterator[Tensor]:
        """A song [1, samples] → the salience of its vocals in turn, float32 [rows, frames] in 0…1
        (`stemlode.shards.salience`). `told` is what it must be told: `vocals` [1, samples],
        `salience` [rows, frames]."""
        raise NotImplementedError

    def separate_told(self, nets: nn.Module, signal: Waveform, **told: Tensor) -> Iterator[Tensor]:
        """`separate` of such an oracle: vocals [1, samples] in turn."""
        raise NotImplementedError

    @property
    def estimated(self) -> tuple[str, ...]:
        """The sources that `estimate` gives, in its order."""
        return (self.target,)

    def estimate(self, nets: nn.Module, mixture: Tensor) -> Tensor:
        """float32 [batch, channels, samples] of any length and number of channels → the estimated
        sources, [batch, sources, channels, samples]. If `levelled`, mixtures are divided already.
        """
        raise NotImplementedError

    @property
    def separated(self) -> tuple[str, ...]:
        """The sources that `separate` gives, in its order."""
        return self.estimated

    @property
    def stems(self) -> tuple[str, ...]:
        """All that a song is separated into: for a net of one source also what is left of it."""
        found = self.separated
        return found if len(found) > 1 else (*found, rest_of(found[0]))

    def separate(self, nets: nn.Module, signal: Waveform, chunking: Chunking) -> Iterator[Tensor]:
        """A song [channels, samples] of any length, at its own level → the sources `separated`:
        blocks [sources, channels, samples] in turn.

        Chunk by chunk or as a whole, as `chunking` says, or else `own_chunks`.
        """
        cut = self.cut(chunking)
        if cut.whole:
            yield from self.separate_whole(nets, signal)
            return
        device = next(nets.parameters()).device
        level = self.song_level(signal)

        def estimate(batch: Tensor) -> Tensor:
            pinned = batch.pin_memory() if device.type == "cuda" else batch
            given = pinned.to(device, non_blocking=True)
            return self.estimate_chunks(nets, given, torch.full((len(batch),), level))

        yield from chunks.overlap_add(signal, self.sample_rate, estimate, cut)

    def song_level(self, signal: Waveform) -> float:
        """The level of a whole song by which `separate` divides what its nets see."""
        return 1.0

    def estimate_chunks(self, nets: nn.Module, batch: Tensor, levels: Tensor) -> Tensor:
        """Chunks of songs, [batch, channels, samples], and the songs' levels, [batch] → the sources
        `separated`, [batch, sources, channels, samples], as `separate` has them of each chunk.

        Gradients pass, to the chunks and not to the levels.
        """
        return self.estimate(nets, batch)

    @property
    def sight(self) -> tuple[int, int]:
        """If it `takes_whole`: pieces of a song that begin at multiples of the first number of
        samples are, further from their ends than the second, what the whole song gives."""
        raise ValueError(f"{self.name} takes songs in chunks alone")

    @property
    def own_chunks(self) -> Chunking:
        """How songs are cut where nobody says otherwise (BSRNN IV-C)."""
        return Chunking()

    def cut(self, chunking: Chunking) -> Chunking:
        """`chunking` with `own_chunks` where it says nothing."""
        own = self.own_chunks
        if chunking.whole or chunking.seconds is not None:
            return dataclasses.replace(chunking, padded=own.padded).spread()
        seconds, whole = own.seconds, own.whole
        own_cut = dataclasses.replace(chunking, seconds=seconds, whole=whole, padded=own.padded)
        return own_cut.spread()

    def separate_whole(self, nets: nn.Module, signal: Waveform) -> Iterator[Tensor]:
        """`separate` for a song that the nets see as a whole, in memory that does not grow with it.

        ValueError where the family cannot (`takes_whole`).
        """
        raise ValueError(f"{self.name} takes songs in chunks alone")

    def estimate_songs(self, nets: nn.Module, songs: Tensor) -> Tensor:
        """Short songs at their own level, [batch, channels, samples] → the sources `separated`,
        [batch, sources, channels, samples]; each song in one piece."""
        return self.estimate(nets, songs)

    def oracle(self, mixture: Tensor, references: Tensor) -> Tensor:
        """The best that such a net could give: a mixture [batch, channels, samples] and its true
        sources `estimated`, [batch, sources, channels, samples] → estimates of that shape.

        By default the sources themselves, which an unbounded complex mask can give.
        """
        return references

    def separate_by_oracle(
        self, mixture: Tensor, references: Tensor, chunking: Chunking
    ) -> Iterator[Tensor]:
        """What `separate` would give with the oracle in place of nets: a song [channels, samples]
        and its true sources `separated`, [sources, channels, samples] → blocks in turn."""
        channels = len(mixture)

        def ideal(batch: Tensor) -> Tensor:
            parts = batch.unflatten(1, (-1, channels))  # [batch, 1 + sources, channels, samples]
            return self.oracle(parts[:, 0], parts[:, 1:])

        known = torch.cat((mixture, references.flatten(0, 1)))
        yield from chunks.overlap_add(known, self.sample_rate, ideal, self.cut(chunking))
