"""Pieces of audio files, decoded without decoding the whole file.

libsndfile seeks by frames. FFmpeg, for formats that libsndfile does not read, seeks by time stamps,
which may be some samples off; that does no harm, for a piece of a mixture need not be aligned with
anything. If neither can seek, the file is decoded from its beginning.
"""

import math

import numpy as np
import torch
from torch import Tensor

from stemlode import audio
from stemlode.audio import AudioError, decoders, mixdown

LEAD_S = 0.1  # decoded before a piece: an MP3 or AAC frame needs those before it
BLOCK_FRAMES = 8192
LEAST = 0.9  # of a piece; one that is shorter is looked for from the file's beginning
DecodedPiece = tuple[np.ndarray, int]  # [channels, frames] and their rate


def read(uri: str, start_s: float, shape: tuple[int, int], rate: int) -> Tensor:
    """A piece of an audio file from `start_s` on: float32 of `shape`, [channels, samples], at
    `rate`, filled up with zeros if the file ends before.

    Mono is repeated; for a mono recipe the channels are averaged. Raises AudioError or OSError, as
    `audio.read` does.
    """
    channels, samples = shape
    found, from_rate = _opened(uri, start_s, samples / rate)
    if channels == 1:
        found = found.mean(axis=0, keepdims=True)
    found = np.array(np.broadcast_to(found, (channels, found.shape[1])), np.float32)
    if not np.isfinite(found).all():
        raise AudioError("samples that are not finite")
    piece = audio.resample(found, from_rate, rate)[:, :samples]
    return torch.nn.functional.pad(torch.from_numpy(piece), (0, samples - piece.shape[1]))


def _opened(uri: str, start_s: float, seconds: float) -> DecodedPiece:
    with decoders.opened(uri, whole=False) as source:
        found = _sought(source, start_s, seconds)
    return found or _skipped(uri, start_s, seconds)


def _sought(source: decoders.Source, start_s: float, seconds: float) -> DecodedPiece | None:
    """None where its decoder cannot seek, or does not say where it landed."""
    if not source.seek(max(0.0, start_s - LEAD_S)):
        return None
    parts: list[np.ndarray] = []
    first_s, rate = None, source.info.sample_rate
    for block in source.blocks(BLOCK_FRAMES):
        if block.sample_rate != rate or block.begins_s is None:
            return None
        first_s = block.begins_s if first_s is None else first_s
        if first_s > start_s:
            return None
        parts.append(mixdown.as_heard(block.samples, block.channels).copy())
        # A frame more than needed: resampling may leave one too few.
        if first_s + sum(part.shape[1] for part in parts) / rate > start_s + seconds + 1 / rate:
            break
    if first_s is None:
        return None
    skip = round((start_s - first_s) * rate)
    found = np.concatenate(parts, axis=1)[:, skip : skip + math.ceil(seconds * rate) + 1]
    # Where it ends early, another link of an Ogg file may follow, which seeking does not find.
    return (found, rate) if found.shape[1] > LEAST * seconds * rate else None


def _skipped(uri: str, start_s: float, seconds: float) -> DecodedPiece:
    """Decoded from the file's beginning."""
    parts, at, rate = [], 0, 0
    for block in audio.blocks(uri):
        rate = block.sample_rate
        first, last = round(start_s * rate), math.ceil((start_s + seconds) * rate) + 1
        parts.append(block.samples[:, max(0, first - at) : max(0, last - at)])
        at += block.samples.shape[1]
        if at >= last:
            break
    return np.concatenate(parts, axis=1), rate
