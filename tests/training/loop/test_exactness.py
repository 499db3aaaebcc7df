"""What a GPU may do to be faster: chosen, recorded, and never while nets are judged."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from stemlode.runs import BadUsage
from tests.training.conftest import TINY
from training import devices
from training.loop import command
from training.loop.material import Material

BSRNN = ["bsrnn-vocals-small", "--layers", "1", "--features", "4", "--hidden", "4"]
BSRNN += ["--mask-hidden", "4", "--patch-seconds", "0.25", "--batch-size", "2", "--workers", "0"]
UNET = ["unet-vocals", *TINY]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False
    devices.products("ieee")


def _options(corpus: Path, output: Path, *words: str) -> dict[str, object]:
    folders = ["--corpus", str(corpus), "--output", str(output), "--steps", "1"]
    assert command.main([*words, *folders]) == 0
    options = json.loads((output / "run.json").read_text())["options"]
    return {name: options[name] for name in ("tf32", "fast", "deterministic")}


def test_tf32_is_a_recipe_s_where_it_is_safe_and_never_judges(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, ...]] = []
    prepare, validate = Material.prepare, Material.validate
    parts = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)

    def noted(real):  # type: ignore[no-untyped-def]
        def noting(self, given):  # type: ignore[no-untyped-def]
            seen.append((real.__name__, *{part.fp32_precision for part in parts}))
            return real(self, given)

        return noting

    monkeypatch.setattr(Material, "prepare", noted(prepare))
    monkeypatch.setattr(Material, "validate", noted(validate))
    found = _options(corpus_folder, tmp_path / "bsrnn", *BSRNN)
    assert found == {"tf32": True, "fast": False, "deterministic": False}
    assert seen == [("prepare", "tf32"), ("validate", "ieee")]
    seen.clear()
    assert not _options(corpus_folder, tmp_path / "unet", *UNET)["tf32"]
    assert _options(corpus_folder, tmp_path / "asked", *UNET, "--tf32")["tf32"]
    assert not _options(corpus_folder, tmp_path / "not", *BSRNN, "--no-tf32")["tf32"]
    kinds = [kind for name, kind in seen if name == "prepare"]
    assert kinds == ["ieee", "tf32", "ieee"]


def test_fast_says_what_it_costs_and_deterministic_is_its_opposite(
    corpus_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _options(corpus_folder, tmp_path / "fast", *UNET, "--fast")["fast"]
    assert torch.backends.cudnn.benchmark
    assert "--fast: a resumed run will not be exact" in capsys.readouterr().err
    assert _options(corpus_folder, tmp_path / "same", *UNET, "--deterministic")["deterministic"]
    assert torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark
    with pytest.raises(BadUsage, match="--fast and --deterministic exclude each other"):
        _options(corpus_folder, tmp_path / "both", *UNET, "--fast", "--deterministic")
