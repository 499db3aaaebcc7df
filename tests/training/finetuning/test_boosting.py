"""Figure 2: labelled signals and those that a teacher hears, in one batch."""

import dataclasses
import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from training.data import mixing
from training.data.corpus import Bad, open_corpus
from training.finetuning import boosting
from training.finetuning.boosting import (
    Gathering,
    Pools,
    Segment,
    Side,
    UnlabelledBatch,
    compose,
    sides,
)
from training.recipes.bsrnn import BSRNNRecipe
from training.recipes.registry import RECIPES
from training.state import Progress
from training.teachers import labels
from training.teachers.labels import Labels

CPU = torch.device("cpu")
RATE = 16_000


def _recipe(batch_size: int = 4) -> BSRNNRecipe:
    recipe = RECIPES["bsrnn-vocals"]
    assert isinstance(recipe, BSRNNRecipe)
    bands = (1000, 500, 7000, 1000)
    return dataclasses.replace(
        recipe, sample_rate=RATE, n_fft=256, hop_length=128, bands=bands, patch_seconds=0.2,
        batch_size=batch_size,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Numbered:
    """Segments of a constant each, which tells which one it is."""

    def draw(
        self, rng: random.Random, shape: tuple[int, int], rate: int, rejects: list[Bad]
    ) -> Segment:
        number = rng.randrange(1, 100)
        return Segment(f"u{number}", torch.full(shape, number / 128))


@pytest.mark.parametrize("ratio", [0.25, 1.0, 4.0])
def test_the_ratio_is_of_labelled_signals_to_unlabelled_ones(ratio: float) -> None:
    drawn = [sides(_recipe(), ratio, 7, number)[0] for number in range(1500)]
    targets, residuals = zip(*drawn, strict=True)
    shares = [sum(s.unlabelled for s in side) / len(side) for side in (targets, residuals)]
    assert shares == pytest.approx([1 / (1 + ratio)] * 2, abs=0.045)
    both = sum(t.unlabelled and r.unlabelled for t, r in drawn) / len(drawn)
    assert both == pytest.approx(shares[0] * shares[1], abs=0.045)  # drawn independently


def test_unlabelled_signals_get_the_gains_and_the_drops_of_the_simulation() -> None:
    drawn = [side for number in range(2000) for side in sides(_recipe(), 1.0, 3, number)[0]]
    gains = torch.tensor([side.gain for side in drawn])
    assert float((gains == 0).float().mean()) == pytest.approx(0.1, abs=0.02)
    decibels = 20 * gains[gains > 0].log10()
    assert float(decibels.min()) < -9.5 and float(decibels.max()) > 9.5
    assert float(decibels.abs().max()) <= 10 + 1e-4


def test_an_example_is_the_same_whatever_was_drawn_before() -> None:
    assert sides(_recipe(), 1.0, 5, 17)[0] == sides(_recipe(batch_size=9), 1.0, 5, 17)[0]
    assert sides(_recipe(), 1.0, 5, 17)[0] != sides(_recipe(), 1.0, 6, 17)[0]


def _labels(*outcomes: int) -> Labels:
    none = torch.zeros(len(outcomes))
    return Labels(torch.tensor(outcomes), none, none, none)


def test_each_kind_gives_the_signals_that_the_paper_says() -> None:
    outcomes = (labels.PSEUDO, labels.CLEAN_TARGET, labels.CLEAN_RESIDUAL, labels.SILENT)
    outcomes += (labels.NOT_FINITE, labels.NOT_A_SUM)
    mixture = torch.arange(1.0, 7.0)[:, None, None] * torch.ones(6, 2, 5)
    target = 0.25 * mixture
    target[4] = torch.nan
    segments = [Segment(f"s{n}", one) for n, one in enumerate(mixture)]
    found = boosting.pools(segments, mixture, target, _labels(*outcomes))
    given_ = [one and (one[0], float(one[1][0, 0])) for one in found.targets]
    assert given_ == [("s0", 0.25), ("s1", 2.0), *[None] * 4]  # the estimate; the mixture itself
    given_ = [one and (one[0], float(one[1][0, 0])) for one in found.residuals]
    assert given_ == [("s0", 0.75), None, ("s2", 3.0), *[None] * 3]


def _unheard(batch: list[tuple[Side, Side]], target: Tensor, residual: Tensor) -> UnlabelledBatch:
    none = torch.zeros(len(batch), dtype=torch.bool)
    ids = [f"l{n}" for n in range(len(batch))]
    return UnlabelledBatch(ids, target + residual, target, none, batch, [])


picks = st.floats(0, 1, exclude_max=True)
a_side = st.builds(Side, st.booleans(), picks, st.one_of(st.just(0.0), st.floats(0.32, 3.16)))


@settings(deadline=None)
@given(st.lists(st.tuples(a_side, a_side), min_size=1, max_size=5), st.integers(0, 31),
       st.integers(0, 31), st.booleans())  # fmt: skip
def test_a_batch_sums_and_peaks_at_one_and_takes_what_it_asked_for(
    batch: list[tuple[Side, Side]], targets: int, residuals: int, from_all: bool
) -> None:
    """Which of the segments give a target, and which a residual, are bits of the two numbers."""
    seeded = torch.Generator().manual_seed(len(batch) + targets)
    own = torch.randn(2, len(batch), 2, 40, generator=seeded)
    asking = [number for number, pair in enumerate(batch) if any(s.unlabelled for s in pair)]
    given_ = torch.randn(2, 5, 2, 40, generator=seeded)
    found = Pools(
        [(f"t{n}", given_[0, n]) if targets >> n & 1 else None for n in range(len(asking))],
        [(f"r{n}", given_[1, n]) if residuals >> n & 1 else None for n in range(len(asking))],
    )
    used: Counter[str] = Counter()
    mixed = compose(_unheard(batch, own[0], own[1]), found, used, from_all=from_all)
    assert mixed.mixture.shape == (len(batch), 2, 40) and not mixed.residual.any()
    assert sum(used.values()) == 2 * len(batch)
    for number, (first, second) in enumerate(batch):
        wanted = []
        for side, every, labelled in zip(
            (first, second), (found.targets, found.residuals), own[:, number], strict=True
        ):
            mine = every if from_all else [every[asking.index(number)]] if number in asking else []
            pool = [one for one in mine if one is not None]
            taken = pool[int(side.pick * len(pool))] if side.unlabelled and pool else None
            wanted.append(labelled if taken is None else taken[1] * side.gain)
            assert taken is None or taken[0] in mixed.sample_ids[number].split("+")
        peak = max(float(sum(wanted).abs().max()), float(wanted[0].abs().max())) or 1.0
        torch.testing.assert_close(mixed.reference[number], wanted[0] / peak, atol=1e-5, rtol=1e-4)
        rest = mixed.mixture[number] - mixed.reference[number]
        torch.testing.assert_close(rest, wanted[1] / peak, atol=1e-5, rtol=1e-4)


def test_a_sparse_source_is_seldom_an_unlabelled_target() -> None:
    """Heard in a fifth of the segments, it comes from one in a tenth of the examples (Figure 2);
    from a whole batch's segments, in nearly half of them."""
    rng, shares = random.Random(1), {}
    for from_all in (False, True):
        used: Counter[str] = Counter()
        for number in range(200):
            batch = [sides(_recipe(), 1.0, 3, 16 * number + n)[0] for n in range(16)]
            asking = sum(any(side.unlabelled for side in pair) for pair in batch)
            one = ("heard", torch.ones(1, 4))
            targets = [one if rng.random() < 0.2 else None for _ in range(asking)]
            silence = torch.ones(16, 1, 4)
            found = Pools(targets, [one] * asking)
            compose(_unheard(batch, silence, silence), found, used, from_all=from_all)
        shares[from_all] = used["targets_unlabelled"] / (16 * 200)
        assert used["residuals_unlabelled"] / (16 * 200) == pytest.approx(0.5, abs=0.04)
    assert shares[False] == pytest.approx(0.1, abs=0.02)
    assert shares[True] == pytest.approx(0.45, abs=0.05)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_hold_the_labelled_draws_and_a_segment_for_each_example_that_asks(
    corpus_folder: Path, workers: int
) -> None:
    data, recipe = open_corpus(str(corpus_folder)), _recipe()
    gathering = Gathering(data, Numbered(), recipe, 1.0, seed=2)
    progress = Progress(position=3)  # as after a kill
    found = boosting.batches(gathering, progress, {}, workers=workers, device=CPU)
    for number in range(3, 7):
        batch = next(found)
        drawn = mixing.Draws(data, recipe, 2)[number]
        scaled = drawn.waveforms * drawn.gains[..., None, None]
        torch.testing.assert_close(batch.reference, scaled[:, 0])
        torch.testing.assert_close(batch.mixture, scaled.sum(1))
        asked = sum(any(side.unlabelled for side in pair) for pair in batch.sides)
        assert len(batch.segments) == asked
        assert batch.sides == [
            sides(recipe.checked_mixing(), 1.0, 2, 4 * number + n)[0] for n in range(4)
        ]
        alone = gathering[number].segments
        assert [one.name for one in batch.segments] == [one.name for one in alone]
        assert progress.position == number + 1
