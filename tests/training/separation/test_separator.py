"""`stemlode.load(…).separate(…)`: songs that are in memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import stemlode
from tests.training.conftest import sing
from training.separation import command

RATE = 22_050


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> stemlode.Separator:
    return stemlode.load(tiny_checkpoint, device="cpu")


def _song(channels: int = 2) -> np.ndarray:
    return sum(sing(3, 1.5, RATE))[:channels].astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2])
def test_it_gives_what_the_verb_writes(
    model: stemlode.Separator, tiny_checkpoint: Path, tmp_path: Path, channels: int
) -> None:
    song = _song(channels)
    soundfile.write(tmp_path / "song.wav", song.T, RATE, subtype="FLOAT")
    words = [str(tmp_path / "song.wav"), "--checkpoint", str(tiny_checkpoint)]
    assert command.main([*words, "--output", str(tmp_path / "out"), "--device", "cpu"]) == 0
    found = model.separate(song, RATE)
    assert tuple(found) == model.stems == ("vocals", "accompaniment")
    for name, stem in found.items():
        written, rate = soundfile.read(tmp_path / "out" / "song" / f"{name}.wav", always_2d=True)
        assert rate == RATE and stem.shape == written.T.shape and stem.dtype == np.float32
        assert np.abs(stem - written.T).max() < 1e-4
    assert np.allclose(found["vocals"] + found["accompaniment"], song, atol=1e-6)


def test_the_shape_stays_and_nothing_of_the_caller_s_changes(model: stemlode.Separator) -> None:
    song = _song()[0].astype(np.float64)
    before = song.copy()
    assert model.separate(song, RATE)["vocals"].shape == song.shape
    assert np.array_equal(song, before)


@pytest.mark.parametrize(
    ("samples", "rate", "says"),
    [
        (np.zeros((2, 100), np.int16), RATE, "int16: floating point is wanted"),
        (np.zeros((100, 2)), RATE, r"shape \(100, 2\).*transpose it"),
        (np.zeros((3, 100)), RATE, "one or two channels"),
        (np.zeros((1, 2, 100)), RATE, "shape"),
        (np.zeros(0), RATE, "shape"),
        (np.full(100, np.nan), RATE, "NaN or infinity"),
        (np.zeros(100), 0, "sample_rate=0"),
        (np.zeros(100), 44_100.5, "sample_rate=44100.5"),
        ("song.wav", RATE, "floating point is wanted"),
    ],
)
def test_what_is_no_sound_is_one_line(
    model: stemlode.Separator, samples: Any, rate: Any, says: str
) -> None:
    with pytest.raises(stemlode.BadUsage, match=says):
        model.separate(samples, rate)


def test_a_checkpoint_that_is_none_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(stemlode.BadUsage, match="holds no model"):
        stemlode.load(tmp_path)
    with pytest.raises(stemlode.BadUsage, match="needs a checkpoint"):
        stemlode.load()
