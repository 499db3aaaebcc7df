"""A teacher in fixed batches: the same labels whatever lies beside them; faults cost a segment."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stemlode.runs import BadUsage, Failed
from tests.training.reads import Reads
from training.recipes.registry import RECIPES
from training.teachers import loading
from training.teachers.labelling import FAILED, Labeller
from training.teachers.teacher import Teacher

PLAIN = "tests.training.teachers.plain_teachers"
TINY = {
    "unet-vocals": {"channels": (2, 3, 4), "n_fft": 256, "hop_length": 192},
    "bsrnn-vocals-small": {"layers": 1, "features": 4, "hidden": 4, "mask_hidden": 4},
    "cws-unet5-k1-small": {"width": 0.02},
}


def noise(segments: int, samples: int = 8000, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).uniform(-0.2, 0.2, (segments, 2, samples))
    return drawn.astype(np.float32)


def of(call: object, whole: bool = True) -> Teacher:
    device = torch.device("cpu")
    sources = ("vocals", "accompaniment")
    return Teacher("a test", "0", 16_000, None, sources, whole, device, call)  # type: ignore[arg-type]


def test_labels_of_segments_do_not_depend_on_those_beside_them() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(2, 32, 9, padding=4), nn.Tanh(), nn.Conv1d(32, 4, 9, padding=4))
    labeller = Labeller(of(lambda m: net(m).unflatten(1, (2, 2)), whole=False), "vocals", 4)
    given = noise(10)
    found = labeller.label(given)
    for start in (0, 4, 8):
        alone = labeller.label(given[start : start + 4])
        assert np.array_equal(alone.target, found.target[start : start + 4])
        assert np.array_equal(alone.energies_db, found.energies_db[start : start + 4])


def test_every_batch_is_whole() -> None:
    seen: list[tuple[int, ...]] = []

    def call(mixture: Tensor) -> Tensor:
        seen.append(tuple(mixture.shape))
        return torch.stack([mixture / 2, mixture / 2], dim=1)

    found = Labeller(of(call), "vocals", 4).label(noise(6, 100))
    assert seen == [(4, 2, 100)] * 2
    assert found.outcomes == ["pseudo"] * 6 and found.reasons == [""] * 6
    assert np.array_equal(found.target, noise(6, 100) / 2)


def test_a_passing_fault_changes_no_bit() -> None:
    calls = [0]
    plain = loading.load(f"{PLAIN}:split", "cpu")

    def call(mixture: Tensor) -> Tensor:
        calls[0] += 1
        if calls[0] == 2:
            raise RuntimeError("lost for a moment")
        return plain.call(mixture)

    given = noise(12)
    found = Labeller(of(call), "vocals", 4).label(given)
    assert calls[0] == 4
    assert np.array_equal(found.target, Labeller(plain, "vocals", 4).label(given).target)


def test_faults_cost_their_own_segments() -> None:
    given = noise(9)
    given[1] *= 0.55 / 0.2  # NaN
    given[2, 0, 5] = 0.65  # no sum
    given[6, 0, 5] = 0.9  # raises, with all that is in its batch
    labeller = Labeller(loading.load(f"{PLAIN}:moody", "cpu"), "vocals", 4)
    found = labeller.label(given)
    assert found.outcomes == [
        *("pseudo", "not_finite", "not_a_sum", "pseudo"),
        *("pseudo", "pseudo", FAILED, "pseudo"),
        "pseudo",
    ]
    assert (
        found.reasons[2]
        == "the teacher's sources do not sum to the mixture: they miss it by -6.0 dB"
    )
    assert found.reasons[6] == "the teacher raised ValueError: too loud, 0.90"
    plain = Labeller(loading.load(f"{PLAIN}:split", "cpu"), "vocals", 4).label(given)
    for place in (0, 3, 4, 5, 7, 8):
        assert np.array_equal(found.target[place], plain.target[place])


def test_a_wrong_length_is_said_of_every_segment() -> None:
    found = Labeller(loading.load(f"{PLAIN}:short", "cpu"), "vocals", 2).label(noise(3, 100))
    assert found.outcomes == [FAILED] * 3
    assert found.reasons[0].endswith("gave [2, 2, 2, 99], not [2, 2, 2, 100]")


@pytest.mark.parametrize(
    ("most", "said"),
    [(0, "take another --device, or a shorter --segment-seconds"), (3, "--batch-size 2 has room")],
)
def test_a_lack_of_memory_is_no_segments_fault(most: int, said: str) -> None:
    """Labels of a smaller batch would be others in their last bits: so it is only named."""
    sizes = []

    def call(mixture: Tensor) -> Tensor:
        sizes.append(len(mixture))
        if len(mixture) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 EiB")
        return torch.stack([mixture / 2, mixture / 2], dim=1)

    with pytest.raises(Failed, match=rf"not enough memory for batches of 8: {said}.*2 EiB"):
        Labeller(of(call), "vocals", 8).label(noise(3, 100))
    assert sizes == [8, 4, 2, 1][: 4 if not most else 3]


@pytest.mark.parametrize("name", TINY)
def test_nothing_waits_for_what_the_device_computes(name: str) -> None:
    """Segments of five seconds: more than such a net takes at once."""
    recipe = dataclasses.replace(RECIPES[name], **TINY[name])
    trained = SimpleNamespace(recipe=recipe, core=recipe.nets().eval())
    teacher = loading.of_checkpoint(trained, "0")  # type: ignore[arg-type]
    labeller = Labeller(teacher, "vocals", 2)
    group = torch.from_numpy(noise(2, 5 * recipe.sample_rate))
    with Reads() as reads:
        labeller._estimated(group, slice(2))
    # A machine without a GPU sends its five results by `cpu`.
    assert reads.found == {"cpu": 5}
    assert teacher.at_once == recipe.segments_at_once


def test_a_source_that_the_teacher_does_not_know() -> None:
    with pytest.raises(BadUsage, match=r"--target drums: .* only vocals, accompaniment"):
        Labeller(loading.load(f"{PLAIN}:split", "cpu"), "drums", 2)
