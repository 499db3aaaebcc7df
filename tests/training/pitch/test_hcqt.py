"""Our HCQT is six of librosa's constant-Q transforms, at any block length."""

import librosa
import numpy as np
import torch

from stemlode.shards.salience import HOP_LENGTH, SAMPLE_RATE, frequencies
from training.pitch import hcqt

TRANSFORM = hcqt.HCQT()


def music(seconds: float = 3.0) -> np.ndarray:
    """Tones that glide through all octaves, with some noise."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    glide = np.sin(2 * np.pi * np.cumsum(60 * 2 ** (7 * time / seconds)) / SAMPLE_RATE)
    steady = sum(np.sin(2 * np.pi * 196 * k * time) / k for k in range(1, 20))
    noise = np.random.default_rng(0).standard_normal(len(time))
    return (0.2 * glide + 0.1 * steady + 0.003 * noise).astype(np.float32)


def whole(signal: np.ndarray, frames: int = 10_000, around: int = 0) -> np.ndarray:
    return torch.cat(list(hcqt.blocks(TRANSFORM, signal, frames, around)), dim=-1).numpy()


def test_it_is_librosa_s_to_a_few_hundredths() -> None:
    signal = music()
    ours = whole(signal)
    theirs = np.stack(
        [
            np.abs(
                librosa.cqt(
                    signal,
                    sr=SAMPLE_RATE,
                    hop_length=HOP_LENGTH,
                    fmin=32.7 * harmonic,
                    n_bins=360,
                    bins_per_octave=60,
                )
            )
            for harmonic in hcqt.HARMONICS
        ]
    )[..., : ours.shape[-1]]
    assert ours.shape == (6, 360, len(signal) // HOP_LENGTH + 1)
    loud = theirs > 0.03 * theirs.max()
    away_db = np.abs(20 * np.log10(ours[loud] / theirs[loud]))
    # librosa drops a hundredth of each filter's spectrum, and its resampler takes 3 dB off the
    # highest bins of the fifth harmonic's octaves.
    assert loud.mean() > 0.03
    assert np.quantile(away_db, 0.99) < 0.6 and away_db.max() < 3.5
    first = np.abs(20 * np.log10(ours[:5][loud[:5]] / theirs[:5][loud[:5]]))
    assert first.max() < 1.2
    scaled = hcqt.scaled(torch.from_numpy(ours), float(ours.max())).numpy()
    peer = librosa.amplitude_to_db(theirs, ref=np.max) / 80 + 1
    assert np.abs(scaled - peer).mean() < 0.02
    assert scaled.max() == 1 and scaled.min() >= 0


def test_a_block_s_length_changes_nothing() -> None:
    signal = music(1.3)
    at_once = whole(signal)
    for frames in (1, 7, 64):
        pieces = whole(signal[: 40 * HOP_LENGTH], frames)
        alone = whole(signal[: 40 * HOP_LENGTH])
        assert np.abs(pieces - alone).max() < 1e-5 * alone.max()
    around = list(hcqt.blocks(TRANSFORM, signal, 50, 7))
    assert [block.shape[-1] for block in around] == [57, 64, 19]
    assert np.abs(around[1].numpy() - at_once[..., 43:107]).max() < 1e-5 * at_once.max()


def test_harmonics_of_a_pitch_stand_in_one_row() -> None:
    row = 150  # 185 Hz
    time = np.arange(SAMPLE_RATE * 2) / SAMPLE_RATE
    tone = sum(np.sin(2 * np.pi * frequencies()[row] * k * time) / 5 for k in range(1, 6))
    found = whole(tone.astype(np.float32))[..., 86]
    for channel, harmonic in enumerate(hcqt.HARMONICS):
        if harmonic >= 1:
            near = found[channel, row - 12 : row + 13]
            assert near.argmax() == 12
    assert found[0, row - 5 : row + 6].max() < 0.05 * found[1, row]


def test_anything_short_of_a_hop_is_a_frame_and_nothing_is_none() -> None:
    assert whole(np.ones(1, np.float32)).shape == (6, 360, 1)
    assert list(hcqt.blocks(TRANSFORM, np.zeros(0, np.float32), 10)) == []
