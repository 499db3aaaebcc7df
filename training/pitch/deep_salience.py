"""Deep Salience (Bittner, McFee, Salamon, Li, Bello, ISMIR 2017): HCQT → likelihoods of pitch.

The net that taught the thesis' chapter 5, written for torch; its weights are read from the Keras
file of its authors by h5py, so no TensorFlow is needed. The variant is `multif0`: several pitches
may sound in a frame. (The `vocal` variant's likelihoods do not fit the threshold of 0.4.)
"""

import hashlib
import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stemlode import extras, files, runs
from stemlode.runs import BadUsage, Failed
from stemlode.shards.salience import ROWS, frame_count
from training.pitch import hcqt
from training.pitch.hcqt import HARMONICS, Signal

# Every layer: name in the file, kernel (rows, frames), channels out. 'same' padding; an even kernel
# has one row less before than after, as TensorFlow has it: (70, 3) gets 34 and 35.
LAYERS = (
    ("bendy1", (5, 5), 128),
    ("bendy2", (5, 5), 64),
    ("smoothy1", (3, 3), 64),
    ("smoothy2", (3, 3), 64),
    ("distribute", (70, 3), 8),
)
LAST = "squishy"
EPSILON = 1e-3  # of the batch normalisations
CONTEXT = sum(kernel[1] // 2 for _, kernel, _ in LAYERS)  # frames on either side: 7
BLOCK_FRAMES = 512  # that the net sees at a time, so that memory does not grow with the song
TRANSFORMED_FRAMES = 4096  # at a time: an HCQT looks 4 s further on either side
KEPT_FRAMES = 25_000  # of a song whose HCQT is kept: 5 minutes, 0.2 GB
STORED = 406_921  # values in the file: 405,913 are learnt, the rest are running statistics
_NORMALISATION = re.compile(r"batch_normalization_(\d+)")


class DeepSalience(nn.Sequential):
    """HCQT in 0…1, [batch, 6, 360, frames] → likelihoods in 0…1, [batch, 1, 360, frames]."""

    def __init__(self) -> None:
        layers: list[nn.Module] = [nn.BatchNorm2d(len(HARMONICS), EPSILON)]
        inputs = len(HARMONICS)
        for _, (rows, frames), outputs in LAYERS:
            above, aside = (rows - 1) // 2, frames // 2
            layers += [
                nn.ZeroPad2d((aside, aside, above, rows - 1 - above)),
                nn.Conv2d(inputs, outputs, (rows, frames)),
                nn.ReLU(),
                nn.BatchNorm2d(outputs, EPSILON),
            ]
            inputs = outputs
        super().__init__(*layers, nn.Conv2d(inputs, 1, 1), nn.Sigmoid())


def load(path: str) -> tuple[DeepSalience, str]:
    """The net with the weights of a Keras file, and the file's SHA-256.

    Raises BadUsage where there is no such file, Failed where it is cut, no HDF5, or of another net.
    """
    try:
        import h5py  # noqa: PLC0415 (of the extra pitch)
    except ImportError as error:
        raise BadUsage(extras.line("h5py", [], f"--weights {path}")) from error
    if not files.is_file(path):
        raise BadUsage(f"--weights {path}: no such file")
    try:
        data = files.read_bytes(path)
        with h5py.File(io.BytesIO(data), "r") as held:
            arrays = _arrays(held)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        why = runs.reason(error)
        raise Failed(f"--weights {path}: not the HDF5 file of Deep Salience: {why}") from error
    net = DeepSalience()
    try:
        _fill(net, arrays)
    except (KeyError, ValueError) as error:
        raise Failed(
            f"--weights {path}: holds another net than Deep Salience: {runs.reason(error)}"
        ) from error
    return net.eval().requires_grad_(False), hashlib.sha256(data).hexdigest()


@torch.inference_mode()
def likelihoods(net: nn.Module, transform: hcqt.HCQT, signal: Signal) -> Iterator[np.ndarray]:
    """A whole song, mono at 22,050 Hz, of any length → its likelihoods in blocks, float32
    [360, frames], that together have a column for every hop.

    The loudest bin of the song is sought first; of a long song the HCQT is computed twice rather
    than kept. A song without a sound is zeros.
    """
    total = frame_count(len(signal))
    kept: list[Tensor] = []
    loudest = 0.0
    for block in hcqt.blocks(transform, signal, TRANSFORMED_FRAMES, CONTEXT):
        loudest = max(loudest, float(block.max()))
        kept += [block] if total <= KEPT_FRAMES else []
    blocks = kept or hcqt.blocks(transform, signal, TRANSFORMED_FRAMES, CONTEXT)
    for number, block in enumerate(blocks):
        before = CONTEXT if number else 0
        count = min(TRANSFORMED_FRAMES, total - number * TRANSFORMED_FRAMES)
        for first in range(before, before + count, BLOCK_FRAMES):
            last = min(first + BLOCK_FRAMES, before + count)
            if loudest > 0:
                left = min(first, CONTEXT)
                given = hcqt.scaled(block[..., first - left : last + CONTEXT], loudest)
                yield net(given[None])[0, 0, :, left : left + last - first].cpu().numpy()
            else:
                yield np.zeros((ROWS, last - first), np.float32)


def _arrays(held: Any) -> dict[str, dict[str, np.ndarray]]:
    """The file's arrays by layer and name; batch normalisations are numbered from 0."""
    found: dict[str, dict[str, np.ndarray]] = {}
    numbers = sorted(int(m[1]) for name in held if (m := _NORMALISATION.fullmatch(name)))
    for name, group in held.items():
        match = _NORMALISATION.fullmatch(name)
        layer = f"normalisation {numbers.index(int(match[1]))}" if match else name

        def keep(path: str, item: Any, layer: str = layer) -> None:
            if hasattr(item, "shape"):
                key = path.rpartition("/")[2].partition(":")[0]
                found.setdefault(layer, {})[key] = np.asarray(item, np.float32)

        group.visititems(keep)
    return found


def _fill(net: DeepSalience, arrays: dict[str, dict[str, np.ndarray]]) -> None:
    """KeyError or ValueError where an array is missing or of another shape."""
    names = [*(name for name, _, _ in LAYERS), LAST]
    convolutions = [layer for layer in net if isinstance(layer, nn.Conv2d)]
    normalisations = [layer for layer in net if isinstance(layer, nn.BatchNorm2d)]
    for name, layer in zip(names, convolutions, strict=True):
        held = arrays[name]
        _copy(layer.weight, held["kernel"].transpose(3, 2, 0, 1), name)  # Keras: rows first
        _copy(layer.bias, held["bias"], name)
    for number, norm in enumerate(normalisations):
        held = arrays[f"normalisation {number}"]
        running = (norm.running_mean, "moving_mean"), (norm.running_var, "moving_variance")
        for tensor, key in ((norm.weight, "gamma"), (norm.bias, "beta"), *running):
            _copy(tensor, held[key], f"normalisation {number}")


@torch.no_grad()
def _copy(tensor: Any, values: np.ndarray, name: str) -> None:
    if tuple(tensor.shape) != values.shape:
        raise ValueError(f"{name} is {values.shape}, not {tuple(tensor.shape)}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds values that are not finite")
    tensor.copy_(torch.from_numpy(np.ascontiguousarray(values)))
