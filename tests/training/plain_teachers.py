"""Teachers as users write them: `tests.training.plain_teachers:halves`."""

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


def odd(device: str) -> Teacher:
    made = Teacher()
    made.sources = ("vocals", "../vocals")
    return made
