"""Songs whose voice sings pitches that are known, and corpora of them by the real verb."""

from pathlib import Path

import numpy as np
import soundfile

from pipelines.corpus import command

RATE = 22_050
SECONDS = 30
STEP_S = 27.0  # when the pitch of `step` changes: in its third chunk of 12 s
FLAGS = ["--window-seconds", "0", "--split", "train=0.5,valid=0.5", "--seed", "3"]


def voice(f0_hz: np.ndarray, rate: int = RATE) -> np.ndarray:
    """A tone of six harmonics of a pitch that is given for each sample; 0 is silence. [samples]."""
    phase = 2 * np.pi * np.cumsum(f0_hz) / rate
    tone = sum(np.sin(k * phase) / k for k in range(1, 7))
    return (0.15 * np.asarray(tone) * (f0_hz > 0)).astype(np.float32)


def step_f0(seconds: float = SECONDS, rate: int = RATE) -> np.ndarray:
    """220 Hz, then 330 Hz from STEP_S on, with a rest of two seconds in the first chunk."""
    time = np.arange(round(seconds * rate)) / rate
    f0 = np.where(time < STEP_S, 220.0, 330.0)
    return np.where((time > 5) & (time < 7), 0.0, f0)


def stems(root: Path) -> Path:
    """Three songs: a step in pitch, on one side only; a glide; a voice that is silent."""
    time = np.arange(SECONDS * RATE) / RATE
    songs = {
        "step": voice(step_f0()),
        "glide": voice(200 * 2 ** (time / SECONDS)),
        "silent": np.zeros(len(time), np.float32),
    }
    rng = np.random.default_rng(0)
    for name, sung in songs.items():
        folder = root / name
        folder.mkdir(parents=True)
        sides = np.stack([sung, sung * (name != "step")], axis=1)
        soundfile.write(folder / "vocals.flac", sides, RATE)
        hiss = (0.05 * rng.standard_normal((len(time), 2))).astype(np.float32)
        soundfile.write(folder / "accompaniment.flac", hiss, RATE)
    return root


def corpus(music: Path, output: Path, *flags: str) -> Path:
    """A corpus of a folder of stems."""
    assert command.main(["--stems", str(music), "--output", str(output), *FLAGS, *flags]) == 0
    return output
