"""Teachers as users write them: `tests.training.teachers.plain_teachers:halves`."""

import os
from pathlib import Path

import torch
from torch import Tensor


class Teacher:
    """Takes a share of the mixture for the vocals and leaves the rest."""

    sample_rate = 16_000
    sources = ("vocals", "accompaniment")
    version = "1"

    def __init__(self, share: float = 0.5) -> None:
        self.share = share

    def __call__(self, mixture: Tensor) -> Tensor:
        return torch.stack([self.share * mixture, (1 - self.share) * mixture], dim=1)


def halves(device: str) -> Teacher:
    return Teacher()


def newer(device: str) -> Teacher:
    made = Teacher()
    made.version = "2"
    return made


def short(device: str) -> Teacher:
    class Short(Teacher):
        def __call__(self, mixture: Tensor) -> Tensor:
            return super().__call__(mixture)[..., :-1]

    return Short()


def stereo(device: str) -> Teacher:
    made = Teacher()
    made.channels = 2  # type: ignore[attr-defined]
    return made


def one_rest(device: str) -> Teacher:
    class Rest(Teacher):
        sources = ("accompaniment",)

        def __call__(self, mixture: Tensor) -> Tensor:
            return 0.25 * mixture[:, None]

    return Rest()


def nameless(device: str) -> object:
    return object()


def broken(device: str) -> Teacher:
    raise RuntimeError("no weights here")


def leaving(device: str) -> Teacher:
    raise SystemExit(0)


def scaling(device: str) -> Teacher:
    """Scales its input where it lies, as many a net does, and its estimate back."""

    class Scaling(Teacher):
        def __call__(self, mixture: Tensor) -> Tensor:
            scale = mixture.std()
            mixture /= scale
            return super().__call__(mixture) * scale

    return Scaling()


def odd(device: str) -> Teacher:
    made = Teacher()
    made.sources = ("vocals", "../vocals")
    return made


class Split:
    """Vocals are all above 1 kHz: which sounds are whose is known, for sounds that are made so."""

    sample_rate = 16_000
    sources = ("vocals", "accompaniment")
    version = "1"

    def __call__(self, mixture: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(mixture)
        edge = round(1000 * mixture.shape[-1] / self.sample_rate)
        spectrum[..., :edge] = 0
        vocals = torch.fft.irfft(spectrum, n=mixture.shape[-1])
        return torch.stack([vocals, mixture - vocals], dim=1)


def split(device: str) -> Split:
    return Split()


def telephone(device: str) -> Split:
    made = Split()
    made.sample_rate = 8000
    return made


class Moody(Split):
    """Faulty where a segment is loud: over 0.5 it answers NaN, over 0.6 its sources do not sum,
    over 0.7 it raises; and every third call fails without a reason, which the next does not."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, mixture: Tensor) -> Tensor:
        self.calls += 1
        if self.calls % 3 == 0:
            raise RuntimeError("lost for a moment")
        found = super().__call__(mixture)
        for place, segment in enumerate(mixture):
            peak = float(segment.abs().max())
            if peak > 0.7:
                raise ValueError(f"too loud, {peak:.2f}")
            if peak > 0.6:
                found[place] *= 0.5
            elif peak > 0.5:
                found[place, 1, 0, 7] = float("nan")
        return found


def moody(device: str) -> Moody:
    return Moody()


def hungry(device: str) -> Split:
    class Hungry(Split):
        def __call__(self, mixture: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 EiB")

    return Hungry()


def noted(device: str) -> Split:
    """Says in a file that it was loaded once more."""
    with Path(os.environ["STEMLODE_LOADS"]).open("a") as file:
        file.write(f"{os.getpid()}\n")
    return Split()


def quarters(device: str) -> Teacher:
    class Quarters(Teacher):
        sources = ("vocals", "drums", "bass", "other")

        def __call__(self, mixture: Tensor) -> Tensor:
            return torch.stack([mixture / 4] * 4, dim=1)

    return Quarters()
