"""The demo's songs: the same bytes for a seed, exact sums, and a separation that is real work."""

import numpy as np
import pytest
from scipy import signal

from pipelines.demo.instruments import SAMPLE_RATE, hertz
from pipelines.demo.music import STEMS, loudness, render_song, write_song
from pipelines.demo.voice import VOWELS, Syllable, Voice, sing

SEEDS = range(20, 26)
VOICE = Voice(1.0, 1.1, 5.5, 40.0, 0.03, 0.02, 1.0)


@pytest.fixture(scope="module")
def songs() -> list[dict[str, np.ndarray]]:
    return [render_song(seed, 12.0) for seed in SEEDS]


def mixture_of(song: dict[str, np.ndarray]) -> np.ndarray:
    return sum((song[name] for name in STEMS), np.zeros_like(song["vocals"]))


def test_a_seed_gives_the_same_bytes_and_another_seed_another_song(songs: list[dict]) -> None:
    again = render_song(SEEDS[0], 12.0)
    for name in STEMS:
        assert again[name].tobytes() == songs[0][name].tobytes()
        assert again[name].tobytes() != songs[1][name].tobytes()


@pytest.mark.parametrize("duration_s", [0.01, 0.5, 1.7, 12.0])
def test_any_length_is_met_to_the_frame(duration_s: float) -> None:
    song = render_song(3, duration_s)
    assert tuple(song) == STEMS
    for samples in song.values():
        assert samples.dtype == np.float32
        assert samples.shape == (2, round(duration_s * SAMPLE_RATE))
        assert np.isfinite(samples).all()


def test_stems_are_16_bit_values_whose_sum_is_exact_and_does_not_clip(songs: list[dict]) -> None:
    for song in songs:
        integers = {name: samples.astype(np.float64) * 2**15 for name, samples in song.items()}
        for values in integers.values():
            assert (values == np.round(values)).all()
        exact = sum(integers.values())
        mixture = mixture_of(song)
        assert (mixture.astype(np.float64) * 2**15 == exact).all()
        assert np.abs(exact).max() < 2**15
        assert 0.5 < np.abs(mixture).max() < 1.0


def test_vocals_and_accompaniment_are_about_as_loud(songs: list[dict]) -> None:
    for song in songs:
        accompaniment = song["drums"] + song["bass"] + song["chords"]
        level_db = 20 * np.log10(loudness(song["vocals"]) / loudness(accompaniment))
        assert -3 <= level_db <= 3
        for name in STEMS:
            assert loudness(song[name]) > 0.1 * loudness(accompaniment)


def test_the_singer_sings_most_of_the_time_and_rests(songs: list[dict]) -> None:
    for song in songs:
        power = np.mean(song["vocals"].reshape(2, -1, SAMPLE_RATE // 20) ** 2, axis=(0, 2))
        singing = power > 0.01 * power.max()
        assert 0.3 < singing.mean() < 0.95


def test_songs_differ_in_tempo_harmony_and_melody() -> None:
    sheets = [write_song(seed, 20.0) for seed in range(40)]
    tempos = [sheet.tempo_bpm for sheet in sheets]
    assert max(tempos) - min(tempos) > 40
    assert len({tuple(sheet.chords[:4]) for sheet in sheets}) > 30
    assert len({tuple(s.pitch for s in sheet.syllables) for sheet in sheets}) == len(sheets)
    for sheet in sheets:
        pitches = [s.pitch for s in sheet.syllables]
        assert 45 <= min(pitches) < max(pitches) <= 74
        ends = [s.start_s + s.duration_s for s in sheet.syllables]
        starts = [s.start_s for s in sheet.syllables]
        assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))


def f0_of(samples: np.ndarray, near: float) -> float:
    """Pitch in Hz, from the best autocorrelation within a fifth of a MIDI pitch."""
    correlation = signal.correlate(samples, samples, "full")[len(samples) - 1 :]
    shortest, longest = (int(SAMPLE_RATE / hertz(near + fifth)) for fifth in (7, -7))
    lag = shortest + int(np.argmax(correlation[shortest:longest]))
    left, centre, right = correlation[lag - 1 : lag + 2]
    return SAMPLE_RATE / (lag + 0.5 * (left - right) / (left - 2 * centre + right))


@pytest.mark.parametrize("pitch", [45, 57, 69])
def test_the_voice_sings_the_written_pitch_with_vibrato(pitch: int) -> None:
    note = Syllable(0.2, 1.6, pitch, "", "a", 1.0, False)
    dry = sing([note], VOICE, np.random.default_rng(0), 2 * SAMPLE_RATE)
    starts = range(SAMPLE_RATE // 2, int(1.6 * SAMPLE_RATE), 1024)
    steady = np.array([f0_of(dry[start : start + 4096], pitch) for start in starts])
    cents = 1200 * np.log2(steady / hertz(pitch))
    assert abs(np.median(cents)) < 25
    assert 20 < np.ptp(cents) < 200


@pytest.mark.parametrize("vowel", ["a", "i", "u"])
def test_vowels_have_their_formants(vowel: str) -> None:
    note = Syllable(0.1, 1.8, 45, "", vowel, 1.0, False)
    dry = sing([note], VOICE, np.random.default_rng(0), 2 * SAMPLE_RATE)
    frequencies, power = signal.welch(dry, SAMPLE_RATE, nperseg=2048)
    first, second, _ = VOWELS[vowel]

    def level_db(low: float, high: float) -> float:
        return float(10 * np.log10(power[(frequencies > low) & (frequencies < high)].mean()))

    assert level_db(first - 100, first + 100) > level_db(first + 1.0 * (second - first) / 2, second)
    assert level_db(second - 120, second + 120) > level_db(3700, 4100)


def test_separation_is_possible_but_not_by_a_mere_equaliser(songs: list[dict]) -> None:
    """An oracle mask separates well; the best fixed filter for the song hardly does."""

    def sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
        return float(10 * np.log10(np.sum(reference**2) / np.sum((reference - estimate) ** 2)))

    for song in songs:
        vocals, mixture = song["vocals"].mean(axis=0), mixture_of(song).mean(axis=0)
        _, _, V = signal.stft(vocals, SAMPLE_RATE, nperseg=4096)
        _, _, X = signal.stft(mixture, SAMPLE_RATE, nperseg=4096)
        fixed = np.clip((V * X.conj()).real.sum(axis=1) / (np.abs(X) ** 2).sum(axis=1), 0, 1)
        oracle = np.minimum(np.abs(V) / np.maximum(np.abs(X), 1e-9), 1)
        estimates = [
            signal.istft(M * X, SAMPLE_RATE, nperseg=4096)[1][: len(vocals)]
            for M in (fixed[:, None], oracle)
        ]
        equalised, masked = (sdr(vocals, estimate) for estimate in estimates)
        assert masked > 8
        assert masked > equalised + 4
        assert equalised < 8.5


def test_what_cannot_be_rendered_is_refused() -> None:
    with pytest.raises(ValueError, match="48000"):
        render_song(0, 1.0, 48_000)
    with pytest.raises(ValueError, match="no frame"):
        render_song(0, 0.0)
