"""Scores of one song, where a stem sounds in both channels and not in their mean."""

import math

import mir_eval
import numpy as np
import pytest
import torch

from stemlode.tables import Row
from training.evaluation.references import ReferenceSong
from training.evaluation.scoring import Scorer, cancels

RATE = 8000
MONO = ("mir_sdr", "mir_nsdr", "mir_sir", "mir_sar")


def _noise(seed: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal((2, RATE)).astype(np.float32)


def _scored(sources: dict[str, np.ndarray]) -> dict[str, Row]:
    """By source; each estimate is the source with a little of all others and of noise."""
    mixture = np.sum(list(sources.values()), axis=0)
    song = ReferenceSong(mixture, sources, RATE)
    guess = {name: source + 0.1 * mixture + 0.1 * _noise(9) for name, source in sources.items()}
    scorer = Scorer(("usdr", "mir_eval"), torch.device("cpu"))
    rows = scorer.of_estimates("song", song, "others", guess, None, list(sources))
    return {row["source"]: row for row in rows}


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_the_mean_of_the_channels_cancels_is_no_source_to_mir_eval() -> None:
    bass, drums, wide = _noise(1), _noise(2), _noise(3)
    wide[1] = -wide[0]
    rows = _scored({"bass": bass, "drums": drums, "vocals": wide})
    assert all(math.isnan(rows["vocals"][column]) for column in MONO)
    assert math.isfinite(rows["vocals"]["usdr_estimate"])
    known = np.stack((bass, drums)).mean(1)
    mixture = bass + drums + wide
    guess = np.stack([source + 0.1 * mixture + 0.1 * _noise(9) for source in (bass, drums)]).mean(1)
    sdr, sir, sar, _ = mir_eval.separation.bss_eval_sources(known, guess, False)
    for place, source in enumerate(("bass", "drums")):
        found = [rows[source][column] for column in ("mir_sdr", "mir_sir", "mir_sar")]
        assert found == pytest.approx([sdr[place], sir[place], sar[place]], abs=1e-3)


def test_a_source_that_is_left_alone_in_the_mean_has_no_bound_and_no_score() -> None:
    wide = _noise(3)
    wide[1] = -wide[0]
    rows = _scored({"accompaniment": _noise(1), "vocals": wide})
    assert all(math.isnan(row[column]) for row in rows.values() for column in MONO)
    assert all(math.isfinite(row["usdr_estimate"]) for row in rows.values())


def test_only_rounding_counts_as_cancelled() -> None:
    wide = torch.from_numpy(_noise(3))
    wide[1] = -wide[0]
    assert cancels(wide) and cancels(torch.zeros(2, 10))
    assert cancels(torch.round(wide * 32767 + 0.1) / 32767)  # half a step more
    wide[1] *= 0.99  # -46 dB
    assert not cancels(wide)
    assert not cancels(torch.from_numpy(_noise(3)[:1]))
