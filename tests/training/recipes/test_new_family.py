"""A new family is a recipe and a net: every verb takes it as it is, and names no family itself."""

import ast
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import onnxruntime
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from torch import Tensor, nn

from stemlode import audio, cli
from tests.training.conftest import RATE, sing
from training import checkpoint
from training.models import spectrogram
from training.recipes import registry
from training.recipes.answers import Judged, Mixing, Transform
from training.recipes.base import Recipe
from training.teachers import loading

ROOT = Path(__file__).resolve().parents[3]
QUICK = ["--steps", "6", "--validate-every", "3", "--workers", "0", "--cache-gb", "0.01"]


@dataclasses.dataclass(frozen=True)
class Toy(Recipe):
    """A mask for magnitudes, from each bin's neighbours."""

    family: ClassVar[str] = "toy"

    n_fft: int = 256
    hop_length: int = 64

    @property
    def patch_samples(self) -> int:
        return self.sample_rate // 2

    @property
    def transform(self) -> Transform:
        return Transform(self.n_fft, self.hop_length, self.n_fft // 2 + 1, ("magnitude",))

    def core(self) -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Sigmoid())

    def judge(
        self, nets: nn.Module, mixture: Tensor, reference: Tensor, residual: Tensor
    ) -> Judged:
        target = torch.where(residual[:, None, None], mixture - reference, reference)
        found = self.estimate(nets, mixture)[:, 0]
        return Judged((found - target).abs().flatten(1).mean(1), {}, lambda: found)

    def estimate(self, nets: nn.Module, mixture: Tensor) -> Tensor:
        spectrum = spectrogram.stft(mixture.flatten(0, 1), self.n_fft, self.hop_length)
        masked = spectrum * nets(spectrum.abs()[:, None])[:, 0]
        found = spectrogram.istft(masked, self.n_fft, self.hop_length, mixture.shape[-1])
        return found.view_as(mixture)[:, None]


class MixedToy(Toy):
    """Likewise; it learns from mixtures of random songs."""

    family: ClassVar[str] = "mixed-toy"

    @property
    def mixing(self) -> Mixing:
        return Mixing("vocals", ("accompaniment",), 0.5, gain_db=3.0, drop=0.0)


class BareToy(Toy):
    """Says nothing of what stands around its net."""

    family: ClassVar[str] = "bare-toy"

    @property
    def transform(self) -> None:  # type: ignore[override]
        return None


@pytest.fixture(autouse=True, scope="module")
def toys() -> Iterator[None]:
    """The families are known, as if they stood in `training.recipes.registry`."""
    with pytest.MonkeyPatch.context() as patched:
        for kind in (Toy, MixedToy, BareToy):
            recipe = kind(kind.family, "a toy", "vocals", RATE, batch_size=2, learning_rate=0.01)
            patched.setitem(registry.RECIPES, recipe.name, recipe)
        yield


def _run(*words: str | Path) -> int:
    return cli.main([str(word) for word in words])


@pytest.fixture(scope="module")
def trained(toys: None, corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("toy") / "run"
    words = ["train", "toy", "--corpus", corpus_folder, "--output", output, *QUICK]
    assert _run(*words, "--n-fft", "512", "--steps", "40") == 0
    return output


def test_it_is_trained(trained: Path) -> None:
    found = checkpoint.load(str(trained))
    assert isinstance(found.recipe, Toy) and found.recipe.n_fft == 512
    log = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    scores = [row["valid_loss"] for row in log if "valid_loss" in row]
    assert min(scores) < scores[0] and "valid_sdr" in log[-1]


def test_it_separates(trained: Path, tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    mixture = sum(sing(70, 4, 44_100))
    audio.write(str(song), mixture, 44_100, "FLOAT")
    assert _run("separate", song, "--checkpoint", trained, "--output", tmp_path / "out") == 0
    parts = {path.stem: soundfile.read(path)[0].T for path in (tmp_path / "out/song").iterdir()}
    assert parts.keys() == {"vocals", "accompaniment"}
    assert parts["vocals"].std() > 1e-3
    assert abs(parts["vocals"] + parts["accompaniment"] - mixture).max() < 1e-5


def test_it_is_evaluated(trained: Path, stems: Path, tmp_path: Path) -> None:
    words = ["evaluate", "--checkpoint", trained, "--stems", stems, "--fast"]
    assert _run(*words, "--output", tmp_path / "scores") == 0
    rows = pq.read_table(tmp_path / "scores/songs.parquet").to_pylist()
    assert len(rows) == 20 and {row["source"] for row in rows} == {"vocals", "accompaniment"}
    assert all(row["usdr_oracle"] > row["usdr_estimate"] for row in rows)


def test_it_is_exported(trained: Path, tmp_path: Path) -> None:
    assert _run("export", trained, "--output", tmp_path / "net.onnx") == 0
    facts = json.loads((tmp_path / "net.json").read_text())
    assert (facts["recipe"], facts["n_fft"], facts["bins"]) == ("toy", 512, 257)
    given = torch.rand(2, 1, 257, 9)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    (found,) = session.run(None, {"spectrogram": given.numpy()})
    with torch.inference_mode():
        wanted = checkpoint.load(str(trained)).core(given)[:, None]
    assert torch.allclose(torch.from_numpy(found), wanted, atol=1e-5)
    teacher = loading.load(str(tmp_path / "net.onnx"))  # and teaches, as its checkpoint does
    mixture = torch.randn(2, 2, 8000)
    taught = loading.load(str(trained)).estimate(mixture)
    assert torch.allclose(teacher.estimate(mixture), taught, atol=1e-4)


def test_what_says_nothing_of_its_transform_is_not_exported(
    corpus_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "bare-toy", "--corpus", corpus_folder, "--output", tmp_path / "run", *QUICK]
    assert _run(*words) == 0
    assert _run("export", tmp_path / "run", "--output", tmp_path / "net.onnx") == 1
    assert "bare-toy cannot be exported" in capsys.readouterr().err
    assert not list(tmp_path.glob("net.*"))


def test_one_that_mixes_is_fine_tuned_and_one_that_does_not_is_refused(
    trained: Path,
    corpus_folder: Path,
    stems: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def finetune(run: Path) -> int:
        words = ["finetune", run, "--labelled", corpus_folder, "--unlabelled", stems, *QUICK]
        return _run(*words, "--output", tmp_path / "tuned")

    assert finetune(trained) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert "toy learns songs as they are" in told and "(bsrnn or mixed-toy)" in told
    words = ["train", "mixed-toy", "--corpus", corpus_folder, "--output", tmp_path / "mixed"]
    assert _run(*words, *QUICK) == 0
    assert finetune(tmp_path / "mixed") == 0
    record = json.loads((tmp_path / "tuned/run.json").read_text())
    assert record["recipe"]["family"] == "mixed-toy" and record["counts"]["segments_heard"] > 0


def test_nothing_outside_models_and_recipes_names_a_family() -> None:
    """No import of a family's module, and of a recipe only what every recipe has."""
    families = {recipe.family.replace("-", "_") for recipe in registry.RECIPES.values()}
    base = {*dir(Recipe), *Recipe.__annotations__}
    wings = list((ROOT / "training").rglob("*.py"))
    others = [path for room in ("stemlode", "pipelines") for path in (ROOT / room).rglob("*.py")]
    checked = 0
    for path in [*wings, *others]:
        if {"models", "recipes"} & set(path.relative_to(ROOT).parts[1:2]):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.ImportFrom):
                names = [*(node.module or "").split("."), *(one.name for one in node.names)]
                assert not (node.module or "").startswith("training.") or not families & set(names)
            elif isinstance(node, ast.Attribute):
                owner = node.value
                name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
                if name == "recipe":
                    assert node.attr in base, f"{path}:{node.lineno}: recipe.{node.attr}"
                    checked += 1
    assert checked > 50
