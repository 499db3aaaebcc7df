"""A backing whose level changes along a song: brought to its level, proven, or no vocals."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import sound_cases
from matching.sound.repairs import levels
from pipelines.samples.pair_chunks import pair_chunks
from pipelines.samples.recordings import Facts, Recording, Shape
from stemlode import audio
from stemlode.layouts.songs import Part

RATE = 44_100
SECONDS = 24
Curve = Callable[[np.ndarray], np.ndarray]
CURVES: dict[str, Curve] = {  # dB by seconds
    "louder": lambda t: 0 * t + 1.5,
    "another level in each half": lambda t: np.where(t < 12, 1.0, -2.5),
    "fades in": lambda t: np.minimum(0, 1.5 * (t - 8)),
    "fades out": lambda t: np.minimum(0, -1.0 * (t - 10)),
    "a slow hand": lambda t: 1.5 * np.sin(2 * np.pi * t / 9),
}


@pytest.fixture(scope="module")
def song(test_data: Path) -> dict[str, np.ndarray]:
    """Accompaniment and voice of a real song at 44.1 kHz."""
    folder = test_data / "audio" / "multitrack" / "so_easy"
    return {
        name: audio.read(str(folder / f"{name}.mp3"), sample_rate=RATE).samples[:, : SECONDS * RATE]
        for name in ("accompaniment", "vocals")
    }


def _gains(curve: Curve) -> np.ndarray:
    return 10 ** (curve(np.arange(SECONDS * RATE) / RATE) / 20).astype(np.float32)


def _chunks(
    folder: Path, mixture: np.ndarray, accompaniment: np.ndarray, kind: str = "", kbits: int = 0
) -> list[dict]:
    """The float sources of each chunk, its `level_db`, and that integers sum exactly."""
    parts, late_s, level = {}, {}, {}
    for name, samples in (("mixture", mixture), ("accompaniment", accompaniment)):
        path = folder / f"{name}.{kind or 'wav'}"
        late_s[name], level[name] = 0.0, 1.0
        if kind:
            level[name] = sound_cases.encode(str(path), samples, RATE, kind, kbits)
            copy = audio.read(str(path))
            late_s[name] = sound_cases.delay_s(copy.samples, copy.sample_rate, samples, RATE)
        else:
            soundfile.write(path, samples.T, RATE, subtype="FLOAT")
        parts[name] = (Part(str(path)),)
    recording = Recording(
        *("pair", "p", "s", "p", parts),
        offset_s=late_s["accompaniment"] - late_s["mixture"],
        gain_db=20 * math.log10(level["mixture"] / level["accompaniment"]),
        coherent=False,
        matched_spans=((0.0, float(SECONDS)),),
    )
    found, shape = [], Shape(12.0, RATE, 2)
    for chunk in pair_chunks(recording, RATE, shape, 12 * RATE, Facts()):
        whole = {name: x.astype(np.int64) for name, x in chunk.integers.items()}
        if "vocals" in whole:
            np.testing.assert_array_equal(
                whole["vocals"], whole["mixture"] - whole["accompaniment"]
            )
        scale = chunk.scale / 32768 / level["mixture"]
        floats = {name: x * scale for name, x in whole.items()}
        at = chunk.first_frame - round(late_s["mixture"] * RATE)
        found.append({"level_db": chunk.level_db, "at": at, **floats})
    return found


def _sdr_db(chunk: dict, true: np.ndarray) -> float:
    got, first = chunk["vocals"], max(0, -chunk["at"])
    want = true[:, chunk["at"] + first :][:, : got.shape[1] - first]
    error = got[:, first:][:, : want.shape[1]] - want
    return float(10 * np.log10(np.sum(want**2) / np.sum(error**2)))


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("side", ["accompaniment", pytest.param("mixture", marks=pytest.mark.slow)])
def test_a_voice_is_told_where_the_level_changes(
    song: dict[str, np.ndarray], tmp_path: Path, curve: str, side: str
) -> None:
    """Of the instrumental alone, or of the mixture, the voice with it."""
    gains = _gains(CURVES[curve])
    mixture, accompaniment = song["accompaniment"] + song["vocals"], song["accompaniment"]
    vocals = song["vocals"]
    if side == "mixture":
        mixture, vocals = mixture * gains, vocals * gains
    else:
        accompaniment = accompaniment / gains
    written = [chunk for chunk in _chunks(tmp_path, mixture, accompaniment) if "vocals" in chunk]
    assert written and any(chunk["level_db"] for chunk in written)
    assert all(_sdr_db(chunk, vocals) > 20 for chunk in written)


def test_what_lies_at_its_level_is_left_as_it_is(
    song: dict[str, np.ndarray], tmp_path: Path
) -> None:
    backing = song["accompaniment"]
    assert levels.gains_db(backing + song["vocals"], backing, RATE) is None
    found = _chunks(tmp_path, backing + song["vocals"], backing)
    assert [chunk["level_db"] for chunk in found] == [None, None]


@pytest.mark.parametrize(
    "other",
    [
        lambda song: song["accompaniment"][:, ::-1],
        lambda song: np.roll(song["accompaniment"], 3 * RATE, axis=1),
        lambda song: song["vocals"],
        lambda song: np.tanh(6 * song["accompaniment"]),  # a limiter that is far too fast
        lambda song: np.random.default_rng(0).normal(0, 0.1, (2, SECONDS * RATE)),
    ],
)
@pytest.mark.slow
def test_no_level_makes_a_voice_of_what_is_no_backing(
    song: dict[str, np.ndarray], tmp_path: Path, other: Callable
) -> None:
    found = _chunks(tmp_path, song["accompaniment"] + song["vocals"], other(song))
    assert not any("vocals" in chunk or chunk["level_db"] for chunk in found)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "kbits"), [("mp3", 320), ("m4a", 320), ("ogg", 320)])
def test_through_codecs_no_more_is_lost_than_of_the_pair_at_one_level(
    song: dict[str, np.ndarray], tmp_path: Path, kind: str, kbits: int
) -> None:
    mixture, backing = song["accompaniment"] + song["vocals"], song["accompaniment"]
    plain = _chunks(tmp_path, mixture, backing, kind, kbits)
    least = min(_sdr_db(chunk, song["vocals"]) for chunk in plain if "vocals" in chunk)
    other = backing / _gains(CURVES["a slow hand"])
    found = _chunks(tmp_path, mixture, other, kind, kbits)
    written = [chunk for chunk in found if "vocals" in chunk]
    if kind != "ogg":  # the level's own error is as large as what these leave
        assert not written
        return
    assert any(chunk["level_db"] for chunk in written)
    assert min(_sdr_db(chunk, song["vocals"]) for chunk in written) > least - 1
