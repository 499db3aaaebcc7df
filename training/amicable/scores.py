"""What a perturbation does: each stem's SDR of files that were written, separated and read back."""

import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from stemlode import audio, files
from stemlode.audio import wav
from training.amicable import noise
from training.amicable.codecs import Codec
from training.amicable.models import Model
from training.amicable.noise import MEDIAN, WHOLE
from training.amicable.song import Song
from training.models import metrics
from training.separation.system import Parts

Scores = dict[str, dict[str, float | None]]  # of each stem, MEDIAN and WHOLE in dB


def write(path: str, samples: np.ndarray, sample_rate: int, pcm: int | None = None) -> None:
    """[channels, frames] as WAV: 32-bit float, or PCM of so many bits, which clips."""
    if pcm:
        audio.write(path, samples, sample_rate, f"PCM_{pcm}")
        return
    with files.atomic_write(path) as sink:
        sink.write(wav.header(samples.shape[1], len(samples), sample_rate))
        sink.write(wav.samples(samples))


def of_samples(model: Model, samples: np.ndarray, song: Song) -> tuple[Scores, Parts]:
    """`of_file` of samples [channels, frames], by way of a file that is 32-bit float."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        write(file.name, samples, song.sample_rate)
        return of_file(model, file.name, song)


def of_file(model: Model, path: str, song: Song) -> tuple[Scores, Parts]:
    """A model's SDR on a file that holds the song in some form, and the stems that it gives."""
    parts = model.separate(path)
    return {stem: _sdr(song, stem, found) for stem, found in parts.items()}, parts


def _sdr(song: Song, stem: str, found: np.ndarray) -> dict[str, float | None]:
    true = np.ascontiguousarray(song.stem(stem), np.float32)
    framed = metrics.frame_sdr(
        torch.from_numpy(true)[None], torch.from_numpy(found)[None], song.sample_rate
    )
    framed = framed[~np.isnan(framed)]
    median = float(np.median(framed)) if framed.size else np.nan
    return {MEDIAN: _number(median), WHOLE: _number(float(metrics.usdr(true, found)))}


def mean(scores: Scores, kind: str = MEDIAN) -> float:
    """Over stems; NaN where none has a score."""
    found = [value for one in scores.values() if (value := one[kind]) is not None]
    return float(np.mean(found)) if found else float("nan")


def degradation(song: Song, samples: np.ndarray) -> dict[str, float | None]:
    """DI_SDR (eq. 6) of what a song has become."""
    mixture, other = (torch.from_numpy(np.array(x)) for x in (song.mixture, samples))
    return {kind: _number(v) for kind, v in noise.di_sdr(mixture, other, song.sample_rate).items()}


def after_codec(
    models: Sequence[Model], song: Song, perturbed: np.ndarray, codec: Codec
) -> dict[str, Any]:
    """Figure 3: every model on the perturbed and on the plain mixture, both encoded."""
    heard, late_ms = codec.decoded(perturbed, song.sample_rate)
    plain, _ = codec.decoded(song.mixture, song.sample_rate)
    return {
        "codec": str(codec),
        "delay_ms": late_ms,
        "di_sdr": degradation(song, heard),
        "di_sdr_unperturbed": degradation(song, plain),
        "models": [
            {
                "name": model.name,
                "before": of_samples(model, plain, song)[0],
                "after": of_samples(model, heard, song)[0],
            }
            for model in models
        ],
    }


def _number(value: float) -> float | None:
    """JSON knows neither NaN nor infinity."""
    return value if np.isfinite(value) else None
