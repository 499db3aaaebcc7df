"""A few seconds of the first songs of the valid split, with the net's estimates.

Each validation replaces `previews/last`, and `previews/best` if the net is the best so far: FLAC
files that `stemlode report` shows as players and spectrograms.
"""

import io
from dataclasses import dataclass

import soundfile
from torch import Tensor

from stemlode import files
from stemlode.runs import Run, on_one_line

FOLDER = "previews"
SONGS, SECONDS = 3, 6.0
LONGEST_NAME = 200  # characters
NAMES = ("mixture", "estimate", "reference")


@dataclass(frozen=True)
class Preview:
    """float32 [channels, samples] each, at the recipe's rate and the song's own level."""

    mixture: Tensor
    estimate: Tensor
    reference: Tensor
    name: str = ""  # of the song, which the files have as their title


def middle(samples: Tensor, sample_rate: int) -> Tensor:
    """The SECONDS in the middle of [..., samples]."""
    wanted = round(SECONDS * sample_rate)
    start = max(0, (samples.shape[-1] - wanted) // 2)
    return samples[..., start : start + wanted]


def write(run: Run, previews: list[Preview], sample_rate: int, *, best: bool) -> None:
    """Write the previews of one validation, in place of earlier ones."""
    for number, preview in enumerate(previews, 1):
        signals = {name: getattr(preview, name).float().cpu().numpy() for name in NAMES}
        peak = max(1.0, *(float(abs(signal).max(initial=0.0)) for signal in signals.values()))
        for name, signal in signals.items():
            encoded, channels = io.BytesIO(), len(signal)
            with soundfile.SoundFile(
                encoded, "w", sample_rate, channels, "PCM_16", format="FLAC"
            ) as sink:
                if title := on_one_line(preview.name)[:LONGEST_NAME]:
                    sink.title = title
                sink.write((signal / peak).T)
            for kind in ("last", "best") if best else ("last",):
                path = run.path(FOLDER, kind, str(number), f"{name}.flac")
                files.write_bytes(path, encoded.getvalue())


def written(run: Run, kind: str) -> list[str]:
    """The paths, below the run's folder, of the previews that are there; `kind`: best or last."""
    names = [
        f"{FOLDER}/{kind}/{number}/{name}.flac" for number in range(1, SONGS + 1) for name in NAMES
    ]
    return [name for name in names if files.exists(run.path(name))]
