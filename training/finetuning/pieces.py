"""Pieces of audio files, decoded without decoding the whole file.

libsndfile seeks by frames. FFmpeg, for formats that libsndfile does not read, seeks by time stamps,
which may be some samples off; that does no harm, for a piece of a mixture need not be aligned with
anything. If neither can seek, the file is decoded from its beginning.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

from stemlode import audio
from stemlode.audio import AudioError, decoders

LEAD_S = 0.1  # decoded before a piece: an MP3 or AAC frame needs those before it
Found = tuple[np.ndarray, int]  # [channels, frames] and their rate


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


def _opened(uri: str, start_s: float, seconds: float) -> Found:
    with decoders.open_bytes(uri) as file:
        source = file if decoders.is_local(uri) else decoders.Guarded(file)
        try:
            found = _by_libsndfile(source, start_s, seconds)
            if found is None:
                source.seek(0)
                found = _by_ffmpeg(source, start_s, seconds)
        finally:
            if isinstance(source, decoders.Guarded):
                source.raise_error()
    return found or _skipped(uri, start_s, seconds)


def _by_libsndfile(source: Any, start_s: float, seconds: float) -> Found | None:
    """None if libsndfile does not read the file."""
    opened = decoders.Libsndfile.open(source)
    if opened is None:
        return None
    with opened.file as sound:
        rate = sound.samplerate
        lead = min(start_s, LEAD_S)
        try:
            sound.seek(min(sound.frames, round((start_s - lead) * rate)))
            # One frame more than needed: resampling may leave one too few.
            frames = sound.read(math.ceil((lead + seconds) * rate) + 1, "float32", True)
        except soundfile.LibsndfileError as error:
            raise AudioError(f"damaged: {error.error_string}") from error
    return frames[round(lead * rate) :].T, rate


def _by_ffmpeg(source: Any, start_s: float, seconds: float) -> Found | None:
    """None if the container cannot seek, or does not say where it is after seeking."""
    with decoders.FFmpeg.open(source, 0) as opened:
        rate, end_s = opened.info.sample_rate, start_s + seconds + 1 / opened.info.sample_rate
        parts: list[np.ndarray] = []
        first_s = None
        for at_s, samples in _frames(opened, max(0.0, start_s - LEAD_S)):
            if at_s is None or (first_s is None and at_s > start_s):
                return None
            first_s = at_s if first_s is None else first_s
            parts.append(samples)
            if at_s + samples.shape[1] / rate > end_s:
                break
    if first_s is None:
        return None
    skip = round((start_s - first_s) * rate)
    return np.concatenate(parts, axis=1)[:, skip : skip + math.ceil(seconds * rate) + 1], rate


def _frames(opened: decoders.FFmpeg, start_s: float) -> Iterator[tuple[float | None, np.ndarray]]:
    """Frames from before `start_s` on, float32 [channels, frames], each with its time."""
    import av  # noqa: PLC0415 (only for what libsndfile does not read)

    stream, context = opened.stream, opened.stream.codec_context
    context.thread_count = 1
    to_planes = av.AudioResampler("fltp", context.layout, opened.info.sample_rate)
    try:
        opened.container.seek(math.floor(start_s / stream.time_base), stream=stream)
        for frame in opened.container.decode(stream):
            for part in to_planes.resample(frame):
                yield frame.time, part.to_ndarray()
    except (av.FFmpegError, ValueError) as error:
        raise AudioError("damaged: does not decode") from error


def _skipped(uri: str, start_s: float, seconds: float) -> Found:
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
