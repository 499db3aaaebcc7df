"""swift-f0 (Nieradzik, MIT): a small net in ONNX that follows one voice; the fast default teacher.

It hears 16 kHz, says a pitch and a confidence every 16 ms, and comes with its weights. Its frames
are voiced from a confidence of 0.5 on, ours from 0.4: its confidence is stretched so that the two
mean the same. What is soft it hardly hears: a voice whose peak lies 38 dB below full scale loses a
twentieth of its voiced frames, 10 dB further down half of them. So soft songs are raised.
"""

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stemlode import extras
from stemlode.runs import BadUsage
from stemlode.shards.salience import THRESHOLD
from training.pitch.hcqt import Signal
from training.pitch.targets import F0

SAMPLE_RATE = 16_000  # Hz
VOICED = 0.5  # of its confidence
BLOCK = 60 * SAMPLE_RATE  # at a time; the result does not depend on it
PEAK = 0.1  # of full scale, to which a song is raised that has none so high
MOST_GAIN = 31.6  # 30 dB, so that what leaks into a silent stem does not become a voice


def load() -> tuple[Any, str]:
    """The detector, on one core, and the SHA-256 of its version and weights.

    Raises BadUsage where the package is not installed.
    """
    try:
        import swift_f0  # noqa: PLC0415 (of the extra pitch)
    except ImportError as error:
        raise BadUsage(extras.line("swift_f0", [], "--teacher swift-f0")) from error
    weights = Path(swift_f0.__file__).with_name("model.onnx").read_bytes()
    version = importlib.metadata.version("swift-f0")
    sha256 = hashlib.sha256(version.encode() + b"\0" + weights).hexdigest()
    return swift_f0.SwiftF0(threads=1, spin=False), sha256


def f0_of(detector: Any, signal: Signal) -> F0:
    """A song of any length and level, mono at 16 kHz → its pitch every 16 ms."""
    stream, gain = detector.stream(), _gain(signal)
    parts = [stream.push(block * gain, SAMPLE_RATE) for block in _blocks(signal)]
    parts.append(stream.flush())
    time_s, pitch, confidence = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("timestamps", "pitch_hz", "confidence")
    )
    stretched = np.where(
        confidence < VOICED,
        confidence * (THRESHOLD / VOICED),
        THRESHOLD + (confidence - VOICED) * ((1 - THRESHOLD) / (1 - VOICED)),
    )
    return F0(time_s, np.where(stretched >= THRESHOLD, 1, -1) * pitch, stretched)


def _gain(signal: Signal) -> np.float32:
    """By what a song is raised; 1 for nearly all."""
    peak = max((float(np.abs(block).max()) for block in _blocks(signal)), default=0.0)
    return np.float32(min(MOST_GAIN, max(1.0, PEAK / peak)) if peak else 1.0)


def _blocks(signal: Signal) -> Iterator[np.ndarray]:
    for start in range(0, len(signal), BLOCK):
        yield signal[start : start + BLOCK]
