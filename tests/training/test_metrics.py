"""uSDR against its formula, and against museval frame by frame."""

import importlib.util
import math
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.metrics import usdr


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


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 3), st.integers(1, 6), st.integers(1, 400), st.floats(0, 2), st.integers(0, 99)
)
def test_it_is_the_formula(songs: int, channels: int, frames: int, error: float, seed: int) -> None:
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


def test_it_equals_museval_in_frames() -> None:
    rng = np.random.default_rng(0)
    rate, seconds = 2000, 4
    references = rng.standard_normal((2, seconds * rate, 2))
    estimates = references + rng.uniform(0.1, 1, (2, 1, 1)) * rng.standard_normal(references.shape)
    theirs = _museval().bss_eval(references, estimates, window=rate, hop=rate)[0]

    def frames(signal: np.ndarray) -> np.ndarray:
        return signal.reshape(2, seconds, rate, 2).swapaxes(2, 3)  # [sources, frames, channels, n]

    ours = usdr(frames(references), frames(estimates))
    assert np.allclose(ours, theirs[:, : ours.shape[1]], atol=1e-3)


def test_a_silent_reference_has_no_score() -> None:
    reference = np.zeros((3, 1, 1000), np.float32)
    reference[1] = 1e-6  # −120 dB: what a codec leaves of silence
    reference[2] = 1e-3
    scores = usdr(reference, np.full_like(reference, 1e-3))
    assert np.isnan(scores[:2]).all() and scores[2] > 60


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="reference is"):
        usdr(np.zeros((1, 10)), np.zeros((1, 9)))
