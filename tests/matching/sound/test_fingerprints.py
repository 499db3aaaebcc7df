"""Fingerprints: the same recording is known again, and nothing else is."""

from pathlib import Path

import numpy as np
import pytest

from matching.sound import fingerprints
from stemlode import audio

RATE = fingerprints.RATE


def _music(seed: int, seconds: float = 40) -> np.ndarray:
    """Notes of changing pitch with overtones, mono at RATE."""
    rng = np.random.default_rng(seed)
    signal = np.zeros(round(seconds * RATE))
    for _ in range(round(seconds * 8)):
        start, length = rng.integers(0, len(signal) - 4000), rng.integers(1000, 4000)
        times = np.arange(length) / RATE
        hz = 110 * 2 ** (rng.integers(0, 48) / 12)
        note = sum(np.sin(2 * np.pi * hz * k * times) / k for k in (1, 2, 3) if hz * k < 3900)
        signal[start : start + length] += note * np.exp(-4 * times) * rng.uniform(0.2, 1)
    return (signal / np.abs(signal).max() / 2).astype(np.float32)


def _found(**signals: np.ndarray) -> dict[tuple[str, str], str]:
    held = {name: fingerprints.landmarks([signal]) for name, signal in signals.items()}
    return {(a, b): why for a, b, why in fingerprints.same(held)}


def test_level_polarity_noise_and_a_shift_do_not_hide_a_recording() -> None:
    music = _music(1)
    noise = np.random.default_rng(2).normal(0, 0.003, len(music)).astype(np.float32)
    found = _found(one=music, other=(-0.2 * music + noise)[round(2.5 * RATE) :])
    assert list(found) == [("one", "other")]
    shift = float(found["one", "other"].split("shift of ")[1].removesuffix(" s"))
    assert abs(shift - -2.5) < 0.05


def test_different_music_of_one_kind_is_not_the_same() -> None:
    assert not _found(**{f"song{seed}": _music(seed) for seed in range(6)})


def test_silence_and_next_to_nothing_have_no_landmarks() -> None:
    for signal in (np.zeros(0), np.zeros(9), np.zeros(50_000), np.ones(1)):
        assert fingerprints.landmarks([signal]) == []


def test_a_landmark_that_all_share_tells_nothing() -> None:
    everyone = [(str(n), 0) for n in range(fingerprints.COMMONEST + 1)]
    assert fingerprints.coincidences(everyone) == []
    assert len(fingerprints.coincidences(everyone[:4])) == 6


def test_long_signals_are_looked_at_in_blocks_without_a_seam(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    music = _music(3, 20)
    whole = fingerprints.landmarks([music])
    monkeypatch.setattr(fingerprints, "_BLOCK", 100)
    assert fingerprints.landmarks([music]) == whole and whole
    assert fingerprints.landmarks(np.array_split(music, 77)) == whole


@pytest.mark.slow
def test_real_songs_are_known_again_from_a_part_coded_anew(test_data: Path, tmp_path: Path) -> None:
    sketches = {}
    for path in sorted((test_data / "audio/mixes").iterdir()):
        song = audio.read(str(path))
        rate = song.sample_rate
        part = song.samples[:, round(11.3 * rate) : round(71.2 * rate)] * 0.4
        audio.write(str(tmp_path / "part.mp3"), part, rate)
        for name, uri in ((path.stem, path), (f"{path.stem} again", tmp_path / "part.mp3")):
            sound = audio.read(str(uri), sample_rate=RATE, mono=True).samples[0]
            sketches[name] = fingerprints.landmarks([sound])
    found = {(a, b) for a, b, _ in fingerprints.same(sketches)}
    assert found == {(name, f"{name} again") for name in sketches if not name.endswith("again")}


@pytest.mark.parametrize("song", ["so_easy", "mallory"])
def test_a_real_mixture_and_its_backing_share_a_recording(test_data: Path, song: str) -> None:
    folder = test_data / "audio/multitrack" / song
    signals = {
        name: audio.read(str(folder / f"{name}.mp3"), sample_rate=RATE, mono=True).samples[0]
        for name in ("mixture", "accompaniment")
    }
    assert list(_found(**signals)) == [("accompaniment", "mixture")]


def test_a_loop_does_not_coincide_with_itself_all_over() -> None:
    """Two hundred rounds of one bar hold a landmark as often; of each recording a few count."""
    held = [(name, bar * 60) for name in ("a", "b") for bar in range(200)]
    found = fingerprints.coincidences(held)
    assert len(found) == fingerprints.OFTENEST**2
    assert ("a", "b", 0) in found
    bar = _music(3, 2.0)
    loop = np.tile(bar, 20)
    assert _found(loop=loop, again=0.5 * loop[700:]) and not _found(loop=loop, other=_music(4))
