"""uSDR against its formula; SDR, ISR, SIR and SAR against museval and mir_eval."""

import importlib.util
import math
import warnings
from pathlib import Path
from types import ModuleType

import mir_eval.separation
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlode import audio
from training.evaluation.bsseval import bss_eval, bss_eval_sources, fast_length
from training.models.metrics import frame_sdr, usdr

RATE = 4000
NAMES = ("sdr", "isr", "sir", "sar")


def _museval() -> ModuleType:
    """museval.metrics alone: the package wants an ffmpeg that scores do not need."""
    package = importlib.util.find_spec("museval")
    assert package is not None and package.submodule_search_locations is not None
    spec = importlib.util.spec_from_file_location(
        "museval_metrics", f"{package.submodule_search_locations[0]}/metrics.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _theirs(references: np.ndarray, estimates: np.ndarray, window: int) -> dict[str, np.ndarray]:
    """museval's scores [sources, frames] of [sources, channels, samples]."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = _museval().bss_eval(
            references.swapaxes(1, 2).astype(np.float64),
            estimates.swapaxes(1, 2).astype(np.float64),
            window=window,
            hop=window,
        )
    return dict(zip(NAMES, found, strict=False))


def _ours(references: np.ndarray, estimates: np.ndarray, window: int) -> dict[str, np.ndarray]:
    found = bss_eval(torch.from_numpy(references), torch.from_numpy(estimates), window)
    return {name: getattr(found, name) for name in NAMES}


def _separated(
    sources: int, channels: int, samples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Coloured noises with pauses, and estimates that are filtered, leak and hiss."""
    rng = np.random.default_rng(seed)
    references = rng.standard_normal((sources, channels, samples))
    references[..., 1:] += rng.uniform(-0.9, 0.9, (sources, 1, 1)) * references[..., :-1]
    estimates = np.roll(references, 3, axis=-1) * rng.uniform(0.5, 1, (sources, channels, 1))
    leak = rng.uniform(0, 0.3, (sources, sources, 1, 1))
    estimates = estimates + (leak * references[None]).sum(1)
    estimates += rng.uniform(0.01, 0.5) * rng.standard_normal(estimates.shape)
    return references.astype(np.float32), estimates.astype(np.float32)


def _masked(references: np.ndarray) -> np.ndarray:
    """Two real sources as a soft mask would separate them: [2, channels, samples]."""
    mixture = torch.from_numpy(references.sum(0))
    window = torch.hann_window(2048)
    X, V = (
        torch.stft(signal, 2048, 512, window=window, return_complex=True)
        for signal in (mixture, torch.from_numpy(references[0]))
    )
    mask = (V.abs() / X.abs().clamp(min=1e-9)).clamp(max=1) ** 0.7
    found = torch.istft(X * mask, 2048, 512, window=window, length=mixture.shape[1])
    return np.stack((found.numpy(), (mixture - found).numpy()))


def _song(test_data: Path, name: str, seconds: float) -> tuple[np.ndarray, int]:
    """Vocals and accompaniment of a real song, [2, channels, samples], and their rate."""
    folder = test_data / "audio" / "multitrack" / name
    read = [audio.read(str(next(folder.glob(f"{s}.*")))) for s in ("vocals", "mixture")]
    frames = round(seconds * read[0].sample_rate)
    vocals, mixture = (part.samples[:, :frames] for part in read)
    return np.stack((vocals, mixture - vocals)), read[0].sample_rate


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 3), st.integers(1, 6), st.integers(1, 400), st.floats(0, 2), st.integers(0, 99)
)
def test_usdr_is_the_formula(
    songs: int, channels: int, frames: int, error: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    reference = rng.standard_normal((songs, channels, frames)).astype(np.float32)
    estimate = reference + error * rng.standard_normal(reference.shape).astype(np.float32)
    scores = usdr(reference, estimate)
    assert scores.shape == (songs,)
    for song in range(songs):
        signal = sum(float(x) ** 2 for x in reference[song].ravel())
        noise = sum(
            (float(x) - float(y)) ** 2
            for x, y in zip(reference[song].ravel(), estimate[song].ravel(), strict=True)
        )
        assert scores[song] == pytest.approx(10 * math.log10((signal + 1e-10) / (noise + 1e-10)))


def test_known_scores() -> None:
    reference = np.ones((1, 2, 100), np.float32)
    assert usdr(reference, 0 * reference) == pytest.approx([0.0])
    assert usdr(reference, 1.1 * reference) == pytest.approx([20.0], abs=1e-4)
    assert usdr(reference, reference) > 100 and np.isfinite(usdr(reference, reference))


def test_a_silent_reference_has_no_usdr() -> None:
    reference = np.zeros((3, 1, 1000), np.float32)
    reference[1] = 1e-6  # −120 dB: what a codec leaves of silence
    reference[2] = 1e-3
    scores = usdr(reference, np.full_like(reference, 1e-3))
    assert np.isnan(scores[:2]).all() and scores[2] > 60


@pytest.mark.parametrize(("sources", "channels"), [(1, 1), (2, 1), (2, 2), (4, 1)])
@pytest.mark.parametrize("samples", [RATE - 700, 3 * RATE + 1234])
def test_all_ratios_equal_musevals(sources: int, channels: int, samples: int) -> None:
    """Also of a song that is shorter than a frame, and of one with a rest."""
    references, estimates = _separated(sources, channels, samples, seed=sources + channels)
    theirs = _theirs(references, estimates, RATE)
    ours = _ours(references, estimates, RATE)
    framewise = frame_sdr(torch.from_numpy(references), torch.from_numpy(estimates), RATE)
    np.testing.assert_allclose(framewise, theirs["sdr"], atol=1e-3)
    for name in NAMES[: 2 if sources == 1 else 4]:  # one source has nothing to interfere
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-3, err_msg=name)


@pytest.mark.parametrize("sources", [2, 3])
def test_all_ratios_equal_mir_evals(sources: int) -> None:
    references, estimates = _separated(sources, 1, 3 * RATE + 1234, seed=sources)
    ours = bss_eval_sources(torch.from_numpy(references[:, 0]), torch.from_numpy(estimates[:, 0]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = mir_eval.separation.bss_eval_sources(references[:, 0], estimates[:, 0], False)
    assert ours.isr is None
    for name, expected in zip(("sdr", "sir", "sar"), theirs[:3], strict=True):
        np.testing.assert_allclose(getattr(ours, name), expected, atol=1e-3, err_msg=name)


def test_silent_frames_have_no_ratios_as_in_museval() -> None:
    references, estimates = _separated(2, 2, 4 * RATE, seed=1)
    references[0, :, RATE : 2 * RATE] = 0
    estimates[1, :, 2 * RATE : 3 * RATE] = 0
    theirs = _theirs(references, estimates, RATE)
    ours = _ours(references, estimates, RATE)
    for name in NAMES:
        assert np.isnan(ours[name][:, 1:3]).all() and np.isfinite(ours[name][:, ::3]).all()
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-3, err_msg=name)


@pytest.mark.parametrize("copy", [1.0, -1.0, 0.5])
def test_channels_that_are_copies_add_nothing(copy: float) -> None:
    """Vocals are often the same on both sides: then the equations have no single solution."""
    references, estimates = _separated(2, 2, 3 * RATE, seed=2)
    references[0, 1] = copy * references[0, 0]
    if copy == -1:
        references[0, 1, 0] += 1e-3  # museval takes channels that cancel out for silence
    ours = _ours(references, estimates, RATE)
    for name, expected in _theirs(references, estimates, RATE).items():
        np.testing.assert_allclose(ours[name], expected, atol=1e-2, err_msg=name)


def test_a_silent_channel_adds_nothing() -> None:
    references, estimates = _separated(2, 2, 3 * RATE, seed=3)
    references[1, 0] = 0
    ours = _ours(references, estimates, RATE)
    for name, expected in _theirs(references, estimates, RATE).items():
        np.testing.assert_allclose(ours[name], expected, atol=1e-3, err_msg=name)


@settings(max_examples=6, deadline=None)
@given(st.integers(600, 20_000), st.floats(0.01, 30), st.integers(0, 99))
def test_ratios_do_not_depend_on_levels(samples: int, factor: float, seed: int) -> None:
    references, estimates = _separated(2, 1, samples, seed)
    quiet = _ours(references, estimates, RATE)
    loud = _ours(np.float32(factor) * references, np.float32(factor) * estimates, RATE)
    for name in NAMES:
        np.testing.assert_allclose(loud[name], quiet[name], atol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["song1_planetblupi_sung", "song2_rap_92bpm"])
def test_ratios_of_real_songs_equal_musevals(test_data: Path, name: str) -> None:
    references, rate = _song(test_data, name, 8)
    estimates = _masked(references)
    ours = _ours(references, estimates, rate)
    for name_, expected in _theirs(references, estimates, rate).items():
        np.testing.assert_allclose(ours[name_], expected, atol=1e-3, err_msg=name_)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["so_easy", "mallory"])
def test_where_museval_is_uncertain_so_are_we(test_data: Path, name: str) -> None:
    """MP3 leaves nothing above 16 kHz, where the filters are then determined by rounding alone:
    museval itself gives another SIR and SAR once left and right change places. Ours differ from
    its by as much. SDR knows no filters."""
    references, rate = _song(test_data, name, 8)
    estimates = _masked(references)
    theirs = _theirs(references, estimates, rate)
    swapped = _theirs(references[:, ::-1], estimates[:, ::-1], rate)
    ours = _ours(references, estimates, rate)
    np.testing.assert_allclose(ours["sdr"], theirs["sdr"], atol=1e-6)
    own = max(np.abs(theirs[ratio] - swapped[ratio]).max() for ratio in NAMES)
    for ratio in NAMES[1:]:
        assert np.abs(ours[ratio] - theirs[ratio]).max() < max(2e-3, 5 * own), ratio


@pytest.mark.slow
@pytest.mark.parametrize("name", ["so_easy", "mallory"])
def test_mir_evals_ratios_of_real_songs(test_data: Path, name: str) -> None:
    references, _ = _song(test_data, name, 8)
    estimates = _masked(references).mean(1)
    references = references.mean(1)
    ours = bss_eval_sources(torch.from_numpy(references), torch.from_numpy(estimates))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = mir_eval.separation.bss_eval_sources(references, estimates, False)
    for ratio, expected in zip(("sdr", "sir", "sar"), theirs[:3], strict=True):
        np.testing.assert_allclose(getattr(ours, ratio), expected, atol=1e-3, err_msg=ratio)


@given(st.integers(1, 10**7))
def test_lengths_for_transforms(samples: int) -> None:
    length = fast_length(samples)
    assert samples <= length < 2 * samples
    for factor in (2, 3, 5):
        while length % factor == 0:
            length //= factor
    assert length == 1


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="reference is"):
        usdr(np.zeros((1, 10)), np.zeros((1, 9)))
    for score in (frame_sdr, bss_eval):
        with pytest.raises(ValueError, match="references are"):
            score(torch.zeros(2, 1, 10), torch.zeros(2, 1, 9), 4)
    with pytest.raises(ValueError, match="references are"):
        bss_eval_sources(torch.zeros(2, 10), torch.zeros(1, 10))
