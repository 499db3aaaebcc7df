"""What a GPU may do to be faster: chosen, recorded, and never while nets are judged."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from stemlode.runs import BadUsage
from tests.training.conftest import TINY
from training import devices
from training.loop import command, train
from training.loop.material import Material
from training.loop.options import Options, loop_of, parser_of
from training.recipes.registry import RECIPES


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False
    devices.products("ieee")


def _given(recipe: str, *words: str) -> Options:
    return loop_of(parser_of(RECIPES[recipe]).parse([recipe, *words]), {}, RECIPES[recipe])


@pytest.mark.parametrize("asked", [True, False])
def test_tf32_is_for_learning_alone(
    asked: bool, corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, ...]] = []
    parts = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)

    def noted(real):  # type: ignore[no-untyped-def]
        def noting(self, given):  # type: ignore[no-untyped-def]
            seen.append((real.__name__, *{part.fp32_precision for part in parts}))
            return real(self, given)

        return noting

    monkeypatch.setattr(Material, "prepare", noted(Material.prepare))
    monkeypatch.setattr(Material, "validate", noted(Material.validate))
    words = ["unet-vocals", *TINY, "--corpus", str(corpus_folder), "--output", str(tmp_path)]
    assert command.main([*words, "--steps", "1", *(["--tf32"] if asked else [])]) == 0
    assert json.loads((tmp_path / "run.json").read_text())["options"]["tf32"] is asked
    assert seen == [("prepare", "tf32" if asked else "ieee"), ("validate", "ieee")]


def test_tf32_is_the_default_where_it_is_safe() -> None:
    for name, recipe in RECIPES.items():
        assert _given(name).tf32 is (recipe.family in ("bsrnn", "cws", "demucs")), name
        assert _given(name, "--tf32").tf32 and not _given(name, "--no-tf32").tf32


def test_fast_says_what_it_costs_and_deterministic_is_its_opposite(
    capsys: pytest.CaptureFixture[str],
) -> None:
    train.choose_algorithms(_given("unet-vocals", "--fast"))
    assert torch.backends.cudnn.benchmark and not torch.are_deterministic_algorithms_enabled()
    assert "--fast: a resumed run will not be exact" in capsys.readouterr().err
    train.choose_algorithms(_given("unet-vocals", "--deterministic"))
    assert torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark
    with pytest.raises(BadUsage, match="--fast and --deterministic exclude each other"):
        _given("unet-vocals", "--fast", "--deterministic")
