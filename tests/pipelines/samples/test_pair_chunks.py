"""Pairs made of real songs: where their difference is the voice, it is written, to the last bit."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import sound_cases
from pipelines.samples import delays, residuals
from pipelines.samples.pair_chunks import pair_chunks
from pipelines.samples.recordings import Facts, Recording, Shape, Unusable
from stemlode import audio
from stemlode.layouts.songs import Part

RATE = 44_100
GAIN_DB, LATE_S = -1.4, 0.152


@dataclasses.dataclass(frozen=True)
class Pair:
    recording: Recording
    vocals: np.ndarray  # what is to come out


@pytest.fixture(scope="module")
def song(test_data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Accompaniment and voice of 24 s of a real song at 44.1 kHz."""
    folder = test_data / "audio" / "multitrack" / "so_easy"
    found = [
        audio.read(str(folder / f"{name}.mp3"), sample_rate=RATE).samples[:, : 24 * RATE]
        for name in ("accompaniment", "vocals")
    ]
    return found[0], found[1]


def _pair(
    song: tuple[np.ndarray, np.ndarray], folder: Path, late_frames: float, off_s: float = 0.0
) -> Pair:
    """The accompaniment late, inverted and louder; the offset that is told is off by `off_s`."""
    accompaniment, vocals = song
    whole = round(late_frames)
    lead = whole - late_frames
    pieces = delays.moved([accompaniment], lead) if lead else [accompaniment]
    moved = np.concatenate(list(pieces), axis=1)
    late = np.concatenate([np.zeros((2, whole), np.float32), moved], axis=1)
    files = {
        "mixture": accompaniment + vocals,
        "accompaniment": late / np.float32(-(10 ** (GAIN_DB / 20))),
    }
    for name, samples in files.items():
        soundfile.write(folder / f"{name}.wav", samples.T, RATE, subtype="FLOAT")
    recording = Recording(
        "pair",
        "p",
        "s",
        "p",
        {name: (Part(str(folder / f"{name}.wav")),) for name in files},
        offset_s=late_frames / RATE + off_s,
        gain_db=GAIN_DB,
        polarity=-1,
        coherent=True,
        matched_spans=((0.0, 24.0),),
    )
    return Pair(recording, vocals)


def _chunks(recording: Recording, seconds: float = 6.0) -> tuple[list[dict], Facts]:
    """Float sources of each chunk, after the test that integers sum exactly."""
    facts, found = Facts(), []
    shape = Shape(seconds, RATE, 2)
    for chunk in pair_chunks(recording, RATE, shape, round(seconds * RATE), facts):
        integers, scale = chunk.integers, chunk.scale
        if "vocals" in integers:
            wide = {name: x.astype(np.int64) for name, x in integers.items()}
            np.testing.assert_array_equal(wide["vocals"], wide["mixture"] - wide["accompaniment"])
        floats = {name: x * (scale / 32768) for name, x in integers.items()}
        found.append({"at": chunk.first_frame, **floats})
    return found, facts


def _error_db(found: list[dict], true: np.ndarray) -> float:
    """What comes out minus the true voice, relative to it; edges of the song left out."""
    got = np.concatenate([chunk["vocals"] for chunk in found], axis=1)
    first, edge = found[0]["at"], 200
    want = true[:, first : first + got.shape[1]]
    error = (got[:, : want.shape[1]] - want)[:, edge:-edge]
    return float(10 * np.log10(np.sum(error**2) / np.sum(want**2)))


def test_a_shift_by_whole_frames_leaves_the_voice_exactly(
    song: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    pair = _pair(song, tmp_path, round(LATE_S * RATE))
    found, facts = _chunks(pair.recording)
    assert facts.residual_chunks == len(found) == 4
    got = np.concatenate([chunk["vocals"] for chunk in found], axis=1)
    assert np.abs(got - pair.vocals[:, : got.shape[1]]).max() < 1.01 * 2 / 32768


@pytest.mark.parametrize(
    ("off_us", "coherent"), [(-26.0, False), (-19.0, True), (0.0, True), (26.0, False)]
)
def test_a_shift_between_frames_is_found_at_the_full_rate(
    song: tuple[np.ndarray, np.ndarray], tmp_path: Path, off_us: float, coherent: bool
) -> None:
    """What prune told may be off by so much that it found the residual incoherent itself."""
    pair = _pair(song, tmp_path, LATE_S * RATE + 0.37, off_us * 1e-6)
    found, facts = _chunks(dataclasses.replace(pair.recording, coherent=coherent))
    assert facts.residual_chunks == len(found) == 4
    assert _error_db(found, pair.vocals) < -40


@pytest.mark.parametrize(
    "change",
    [
        {"coherent": None},  # prune could not align it
        {"drift_ppm": 40.0},
        {"offset_s": LATE_S + 0.003},  # too far to be found
        {"matched_spans": ((30.0, 60.0),)},
    ],
)
def test_no_vocals_where_the_residual_holds_the_backing(
    song: tuple[np.ndarray, np.ndarray], tmp_path: Path, change: dict
) -> None:
    pair = _pair(song, tmp_path, round(LATE_S * RATE))
    found, facts = _chunks(dataclasses.replace(pair.recording, **change))
    assert facts.residual_chunks == 0
    assert all(set(chunk) == {"at", "mixture", "accompaniment"} for chunk in found)


def test_vocals_are_written_for_the_chunks_that_match_alone(
    song: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """Another backing from 12 s on, as in an edit: each chunk's own sound tells."""
    pair = _pair(song, tmp_path, round(LATE_S * RATE))
    path = Path(pair.recording.parts["accompaniment"][0].uri)
    samples, _ = soundfile.read(path, dtype="float32")
    edit = round((LATE_S + 12) * RATE)
    samples[edit:] = samples[edit:][::-1]
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    found, _ = _chunks(pair.recording)
    assert ["vocals" in chunk for chunk in found] == [True, True, False, False]
    spans = dataclasses.replace(pair.recording, matched_spans=((0.0, 6.0),))
    assert ["vocals" in chunk for chunk in _chunks(spans)[0]] == [True, False, False, False]


@pytest.mark.parametrize("lead", [-0.5, -0.2, 0.01, 0.3, 0.5])
def test_a_signal_moved_by_part_of_a_frame(lead: float) -> None:
    """A sweep of sines up to 0.9 of half the rate; blocks of any length make the same signal."""
    n = np.arange(6000)
    tones = [(np.pi * f, 0.1 * f) for f in (0.01, 0.2, 0.5, 0.8, 0.9)]
    signal, want = (
        sum(np.sin(omega * (n + shift) + phase) for omega, phase in tones) for shift in (0.0, lead)
    )
    whole = np.stack([signal, -signal]).astype(np.float32)
    for edges in ([], [1, 2, 40, 41, 3000], [97, 5999]):
        blocks = np.split(whole, edges, axis=1)
        got = np.concatenate(list(delays.moved(blocks, lead)), axis=1)
        assert got.shape == whole.shape
        middle = slice(delays.HALF, -delays.HALF)
        assert np.abs(got[0] - want)[middle].max() < 2e-3
        np.testing.assert_allclose(got[1], -got[0], atol=1e-6)
    assert sum(b.shape[1] for b in delays.moved([whole[:, :3]], lead)) == 3
    assert list(delays.moved([], lead)) == []


def test_noise_of_its_own_has_no_delay_and_neither_has_silence() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 0.1, (2, 2, 20 * residuals.N_FFT))
    for other in (y, np.zeros_like(x)):
        found = residuals.Lie()
        found.add(x, other)
        assert found.delay() is None


@pytest.mark.parametrize("late", [0, 700])
def test_what_lies_above_a_codecs_cutoff_moves_nothing(
    song: tuple[np.ndarray, np.ndarray], late: int
) -> None:
    """There both hold but what the window leaks, alike in both and at phases of its own."""
    accompaniment, vocals = (samples[:, : 8 * RATE] for samples in song)
    led = np.pad(accompaniment, ((0, 0), (late, 0)))
    copies = [
        sound_cases.encoded(samples, RATE, "mp3", 320)[0]
        for samples in (accompaniment + vocals, led)
    ]
    lie = residuals.Lie()
    frames = min(copy.shape[1] for copy in copies) - late
    lie.add(copies[0][:, :frames], copies[1][:, late:][:, :frames])
    delay = lie.delay()
    assert delay is not None and abs(delay) < 0.005


def _clocked(pair: Pair, pieces: list[list[float]], repaired: str) -> Recording:
    clock = tuple(map(tuple, pieces))
    return dataclasses.replace(pair.recording, clock=clock, repaired=repaired, drift_ppm=1000.0)


def test_an_instrumental_at_another_speed_is_cut_on_the_mixtures_clock(
    song: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    pair = _pair(song, tmp_path, 0)
    path = Path(pair.recording.parts["accompaniment"][0].uri)
    samples, _ = soundfile.read(path, dtype="float32")
    fast = sound_cases.faster(samples.T, RATE, 1000)
    late = np.concatenate([np.zeros((2, 700), np.float32), fast], axis=1)
    soundfile.write(path, late.T, RATE, subtype="FLOAT")
    lie = 700 / RATE
    clock = [[1.0, 21.0, lie + 1 / 1.001, lie + 21 / 1.001]]  # and straight on beyond
    found, facts = _chunks(_clocked(pair, clock, "speed"))
    assert facts.residual_chunks == len(found) == 4 and found[0]["at"] == 0
    assert _error_db(found, pair.vocals) < -40
    again, _ = _chunks(_clocked(pair, clock, "speed"))
    for chunk, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(chunk["accompaniment"], other["accompaniment"])


def test_no_chunk_reaches_from_one_part_into_another(
    song: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """Two seconds are missing at 11 s of the instrumental: two parts at offsets of their own."""
    pair = _pair(song, tmp_path, 0)
    path = Path(pair.recording.parts["accompaniment"][0].uri)
    samples, _ = soundfile.read(path, dtype="float32")
    kept = np.concatenate([samples[: 11 * RATE], samples[13 * RATE :]])
    soundfile.write(path, kept, RATE, subtype="FLOAT")
    clock = [[0.25, 10.5, 0.25, 10.5], [13.5, 23.5, 11.5, 21.5]]
    recording = dataclasses.replace(
        _clocked(pair, clock, "parts"), matched_spans=((0.25, 10.5), (13.5, 23.5))
    )
    found, facts = _chunks(recording, 4.0)
    begins = [chunk["at"] / RATE for chunk in found]
    assert begins == pytest.approx([0.25, 4.25, 8.25, 13.5, 17.5, 21.5], abs=1e-4)
    ends = [(chunk["at"] + chunk["mixture"].shape[1]) / RATE for chunk in found]
    assert ends == pytest.approx([4.25, 8.25, 10.5, 17.5, 21.5, 23.5], abs=1e-4)
    assert facts.residual_chunks == 6 and facts.leftover_db is not None
    for chunk in found:  # at one speed the instrumental's own samples come out
        want = pair.vocals[:, chunk["at"] :][:, : chunk["vocals"].shape[1]]
        assert np.abs(chunk["vocals"] - want).max() < 1e-3


def test_what_is_no_clock_costs_one_reject(
    song: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    pair = _pair(song, tmp_path, 0)
    with pytest.raises(Unusable, match="clock is none") as told:
        _chunks(_clocked(pair, [[0.0, 10.0, 10.0, 0.0]], "speed"))
    assert told.value.error == "misaligned"
