"""The noise of a file's codec, told from the file alone, against what it lost in truth."""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import sound_cases, voice_cases
from benchmarks.voice_cases import RATE
from pipelines.samples import encoders
from stemlode import audio

passage = cache(voice_cases.passage)


def found_db(shares: encoders.Shares | None, signal: np.ndarray) -> float:
    """The noise that is expected in a signal, relative to it."""
    assert shares is not None
    power = (np.abs(np.fft.rfft(signal, axis=1)) ** 2).sum(axis=0)
    hz = np.fft.rfftfreq(signal.shape[1], 1 / RATE)
    return 10 * math.log10(float(power @ shares.at(hz)) / float(power.sum()))


@pytest.mark.parametrize(
    ("kind", "kbits"), [("mp3", 128), ("mp3", 320), ("m4a", 128), ("opus", 128), ("ogg", 320)]
)
def test_a_second_encoding_loses_what_the_first_lost(
    test_data: Path, tmp_path: Path, kind: str, kbits: int
) -> None:
    given = passage(test_data, "so_easy", 10.0)
    original = given.accompaniment + given.vocals
    path = str(tmp_path / f"copy.{kind}")
    level = np.float32(sound_cases.encode(path, original, RATE, kind, kbits))
    copy = audio.read(path, sample_rate=RATE).samples / level
    late = round(sound_cases.delay_s(copy, RATE, original, RATE) * RATE)
    known = slice(RATE // 10, 9 * RATE)
    lost = copy[:, late + known.start : late + known.stop] - original[:, known]
    lost_db = 10 * math.log10(float(np.mean(lost**2)) / float(np.mean(original[:, known] ** 2)))
    found = encoders.noise(path, 0.0, 60.0)
    assert found_db(found, original) == pytest.approx(lost_db, abs=2.0)
    side = encoders.noise(path, 2.0, 5.0, ((0.5, -0.5),), 1)
    assert found_db(side, (original[:1] - original[1:]) / 2) > lost_db  # what is soft loses more


def test_what_cannot_be_encoded_again_is_unknown(tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal((2 * RATE, 2))
    soundfile.write(tmp_path / "a.flac", noise, RATE)
    soundfile.write(tmp_path / "law.wav", noise, RATE, subtype="ULAW")
    soundfile.write(tmp_path / "short.ogg", noise[: RATE // 4], RATE)
    soundfile.write(tmp_path / "silent.ogg", 0 * noise, RATE)
    assert encoders.noise(str(tmp_path / "a.flac"), 0.0, 60.0) is encoders.NONE
    for name in ("law.wav", "short.ogg", "silent.ogg"):
        assert encoders.noise(str(tmp_path / name), 0.0, 60.0) is None
    assert encoders.noise(str(tmp_path / "a.flac"), 5.0, 60.0) is encoders.NONE
