"""Export: every family's nets, equal in onnxruntime at any batch and length."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch
from torch import nn

from stemlode import cli, runs
from stemlode.runs import BadUsage, Failed
from tests.training.conftest import sing
from training import checkpoint
from training.checkpoint import Checkpoint
from training.exporting import command as exporting_command
from training.models import spectrogram, unet
from training.recipes.base import Recipe
from training.recipes.registry import RECIPES
from training.separation import command as separation_command
from training.teachers import loading

TINY_BSRNN = {"features": 4, "layers": 1, "hidden": 4, "mask_hidden": 4}
FAST = [
    ("unet-vocals-small", {"channels": (2, 3)}, 1),
    ("cws-unet5-k2-small", {"width": 0.03}, 2),
    ("bsrnn-vocals-small", TINY_BSRNN, 1),
]
SLOW = [
    ("unet-instrumental-small", {"channels": (2, 3)}, 1),
    ("unet-noskip-small", {"channels": (2, 3)}, 1),
    ("complex-unet-drums-small", {"channels": (2, 3)}, 1),
    ("complex-unet-bass-noncomplex-small", {"channels": (2, 3)}, 1),
    ("cws-unet5-k4-small", {"width": 0.03}, 2),
    ("cws-unet6-k1-small", {"width": 0.03}, 2),
    ("cws-mdensenet-k2-small", {"width": 0.1}, 2),
    ("cws-mmdensenet-small", {"width": 0.1}, 2),
    ("bsrnn-bass-small", TINY_BSRNN, 1),
]
SOME = FAST + [pytest.param(*one, marks=pytest.mark.slow) for one in SLOW]


def _recipe(name: str, changes: dict[str, object]) -> Recipe:
    return dataclasses.replace(RECIPES[name], **changes)  # type: ignore[arg-type]


def _checkpoint(folder: Path, recipe: Recipe) -> Checkpoint:
    """A net with weights and running means of its own, as training leaves them."""
    torch.manual_seed(1)
    nets = recipe.nets()
    for module in nets.modules():
        if isinstance(module, nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    checkpoint.save(str(folder), Checkpoint(recipe, nets, 3))
    return checkpoint.load(str(folder))


@pytest.mark.parametrize(("name", "changes", "nets"), SOME)
def test_onnxruntime_gives_the_nets_masks(
    name: str, changes: dict[str, object], nets: int, tmp_path: Path
) -> None:
    trained = _checkpoint(tmp_path / "model", _recipe(name, changes))
    path = tmp_path / "net.onnx"
    assert exporting_command.main([str(tmp_path / "model"), "--output", str(path)]) == 0
    facts = json.loads(path.with_suffix(".json").read_text())
    assert facts["sample_rate"] == trained.recipe.sample_rate and len(facts["sources"]) == nets
    assert facts["input"] == "spectrogram" and facts["recipe"] == name and facts["step"] == 3
    axes = onnx.load(path).graph.input[0].type.tensor_type.shape.dim
    assert [axes[0].dim_param, axes[3].dim_param] == ["batch", "frames"]
    assert [axes[1].dim_value, axes[2].dim_value] == [len(facts["parts"]), facts["bins"]]
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    layers = getattr(trained.recipe, "layers", 0)
    assert kinds.count("LSTM") == 2 * layers and "Loop" not in kinds and "Scan" not in kinds
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    cores = exporting_command.Cores(trained)
    for batch, frames in ((1, 64), (4, 101)):
        given = torch.rand(batch, len(facts["parts"]), facts["bins"], frames)
        with torch.inference_mode():
            wanted = cores(given)[0].numpy()
        (found,) = session.run(["masks"], {"spectrogram": given.numpy()})
        assert found.shape == (batch, nets, *given.shape[1:])
        assert np.abs(found - wanted).max() < 1e-5
        assert found.std() > 1e-4  # and not a constant


@pytest.mark.parametrize("wiring", ["pitch-only", "stacked-refinement"])
def test_salience_is_exported_beside_the_mask_or_alone(wiring: str, tmp_path: Path) -> None:
    recipe = _recipe(f"joint-{wiring}-small", {"channels": (2, 3)})
    trained = _checkpoint(tmp_path / "model", recipe)
    path = tmp_path / "net.onnx"
    assert exporting_command.main([str(tmp_path / "model"), "--output", str(path)]) == 0
    facts = json.loads(path.with_suffix(".json").read_text())
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    separates = wiring != "pitch-only"
    assert names == ["masks", "salience"] if separates else names == ["salience"]
    assert facts["sources"] == (["vocals"] if separates else [])
    assert facts["salience"] == {
        **{"rows": 360, "rows_per_octave": 60, "lowest_hz": 32.7, "threshold": 0.4}
    }
    # With the JSON alone: the song's spectrogram over its maximum, the lowest bins of it.
    signal = torch.randn(1, 256 * 50)
    X = spectrogram.stft(signal, facts["n_fft"], facts["hop"]).abs()
    given = (X / X.max())[:, None, : facts["bins"]]
    (found,) = session.run(["salience"], {"spectrogram": given.numpy()})
    with torch.inference_mode():
        wanted = torch.cat(list(recipe.hear(trained.core, signal)), dim=-1)
    assert found.shape == (1, 360, wanted.shape[1])
    assert np.abs(found[0] - wanted.numpy()).max() < 1e-4 and found.std() > 1e-4
    if separates:  # its masks may teach
        assert loading.load(str(path)).sources == ("vocals",)
    else:
        with pytest.raises(BadUsage, match="sources"):
            loading.load(str(path))


@pytest.mark.parametrize("name", ["complex-unet-vocals-small", "bsrnn-vocals-small"])
def test_the_json_suffices_to_separate(name: str, tmp_path: Path) -> None:
    """With nothing but the two files, a user's own transforms give our estimate."""
    changes = TINY_BSRNN if "bsrnn" in name else {"channels": (2, 3)}
    trained = _checkpoint(tmp_path / "model", _recipe(name, changes))
    exporting_command.main([str(tmp_path / "model"), "--output", str(tmp_path / "net.onnx")])
    facts = json.loads((tmp_path / "net.json").read_text())
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    signal = torch.randn(1, 20_000)
    X = spectrogram.stft(signal, facts["n_fft"], facts["hop"])
    assert facts["parts"] == ["real", "imaginary"] and facts["window"] == "hann"
    given = unet.to_parts(X)[:, :, : facts["bins"]]
    (masks,) = session.run(None, {"spectrogram": given.contiguous().numpy()})
    mask = unet.to_complex(torch.from_numpy(masks[:, 0]))
    if mask.shape[1] < X.shape[1]:
        mask = spectrogram.restore_bin(mask)
    found = spectrogram.istft(X * mask, facts["n_fft"], facts["hop"], signal.shape[1])
    with torch.inference_mode():
        wanted = trained.recipe.estimate(trained.core, signal[None])[0, 0]
    assert torch.allclose(found, wanted, atol=1e-5)


def test_a_model_that_differs_is_not_written() -> None:
    recipe = _recipe("unet-vocals-small", {"channels": (2, 3)})
    shape = exporting_command.facts(recipe)
    torch.manual_seed(0)
    trained = Checkpoint(recipe, recipe.nets(), 0)
    one = exporting_command.Cores(trained).eval()
    model = exporting_command.to_onnx(trained)
    assert exporting_command.check(model, one, shape) < 1e-5
    with torch.no_grad():
        one.cores[0].decoder[-1].bias += 1
    with pytest.raises(Failed, match="nothing is written"):
        exporting_command.check(model, one, shape)


def test_every_recipe_is_described() -> None:
    for recipe in RECIPES.values():
        if recipe.transform is None:
            told = "must be told the" if recipe.told else "more than a net"
            with pytest.raises(Failed, match=f"{recipe.name} cannot be exported: .*{told}"):
                exporting_command.facts(recipe)
            continue
        facts = exporting_command.facts(recipe)
        assert facts["bins"] in (facts["n_fft"] // 2, facts["n_fft"] // 2 + 1)
        assert len(facts["parts"]) == len(set(facts["parts"]))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "CHECKPOINT"),
        (["MODEL"], "needs --output"),
        (["MODEL", "--output", "net.pt"], "must end with .onnx"),
        (["/none", "--output", "/tmp/x.onnx"], "CHECKPOINT /none"),
        (["MODEL", "--outptu", "x.onnx"], "did you mean --output"),
        (["MODEL", "--scores", "/none", "--output", "x.onnx"], "must be a folder, with --scores"),
        (["MODEL", "--output", "THERE"], "is there already"),
    ],
)
def test_bad_usage_is_one_line(
    arguments: list[str], says: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "there.json").write_text("{}")
    places = {"MODEL": str(tiny_checkpoint), "THERE": str(tmp_path / "there.onnx")}
    with pytest.raises(BadUsage) as caught:
        exporting_command.main([places.get(word, word) for word in arguments])
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert (tmp_path / "there.json").read_text() == "{}"


def test_scores_come_to_the_card_of_a_folder_with_the_same_weights(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    vocals, accompaniment = sing(3, 2)
    song = tmp_path / "stems" / "song"
    song.mkdir(parents=True)
    for name, samples in (("vocals", vocals), ("accompaniment", accompaniment)):
        soundfile.write(song / f"{name}.wav", samples.T, 8192)
    model, scored, other = (str(tmp_path / name) for name in ("model", "scored", "other"))
    shutil.copytree(tiny_checkpoint, model)
    words = ["--stems", str(tmp_path / "stems"), "--output", scored]
    assert cli.main(["evaluate", "--checkpoint", model, *words]) == 0
    before = {path.name: path.read_bytes() for path in Path(model).iterdir()}
    asked = ["--scores", scored, "--output", str(tmp_path / "public")]
    assert exporting_command.main([model, *asked]) == 0
    assert before == {path.name: path.read_bytes() for path in Path(model).iterdir()}
    written = {path.name: path.read_bytes() for path in (tmp_path / "public").iterdir()}
    card = written.pop("README.md").decode()
    assert {**written, "README.md": before["README.md"]} == before
    value = runs.record(scored)["scores"]["vocals_usdr_estimate"]
    assert f"| vocals | usdr\\_estimate | {value:.2f} dB |" in card and "of stems (1 song," in card
    assert str(tmp_path) not in card and "oracle" not in card
    checkpoint.save(other, dataclasses.replace(checkpoint.load(model), step=9))
    with pytest.raises(BadUsage, match="scored other checkpoints"):
        exporting_command.main([other, *asked, "--overwrite"])


@pytest.mark.slow
def test_as_a_user_runs_it(tiny_checkpoint: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stemlode", "export", str(tiny_checkpoint)]
    command += ["--output", "net.onnx"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "net.onnx"), str(tmp_path / "net.json")]
    assert done.stderr == ""
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 2 and again.stderr.startswith("error: --output")


PROGRAM = re.compile(r"```python\n(.*?)```", re.DOTALL)
HOW = [  # one of each kind of transform, of chunks, and of what is left over
    ("unet-vocals-small", {"channels": (2, 3)}),
    ("unet-instrumental-small", {"channels": (2, 3), "chunk_seconds": 2.0}),
    ("complex-unet-bass-small", {"channels": (2, 3)}),
    ("complex-unet-bass-noncomplex-small", {"channels": (2, 3)}),
    ("bsrnn-vocals-small", TINY_BSRNN),
    ("bsrnn-bass-small", TINY_BSRNN | {"norm": "frame"}),
    ("cws-unet5-k4-small", {"width": 0.03}),
    ("cws-mdensenet-k2-small", {"width": 0.1}),
    ("cws-mmdensenet-small", {"width": 0.1}),
]


@pytest.mark.parametrize(
    ("name", "changes", "number"),
    [(*HOW[0], 0), *(pytest.param(*one, 1, marks=pytest.mark.slow) for one in HOW)],
)
def test_the_page_s_program_separates_as_we_do(
    name: str, changes: dict[str, object], number: int, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """With NumPy, onnxruntime and the two files alone, within 1e-4 of what `separate` writes."""
    trained = _checkpoint(tmp_path / "checkpoint", _recipe(name, changes))
    monkeypatch.chdir(tmp_path)
    assert exporting_command.main(["checkpoint", "--output", "model.onnx"]) == 0
    rate = trained.recipe.sample_rate
    song = np.concatenate(sing(5, 1.1, rate)).reshape(2, 2, -1).sum(0)
    soundfile.write("song.wav", song.T, rate, "FLOAT")
    assert separation_command.main(["song.wav", "--checkpoint", "checkpoint"]) == 0
    page = Path(__file__).parents[3] / "docs" / "onnx.md"
    program = PROGRAM.findall(page.read_text(encoding="utf-8"))[number]
    monkeypatch.setattr("sys.argv", ["separate.py", "song.wav"])
    exec(compile(program, str(page), "exec"), {})
    for stem in trained.recipe.stems:
        wanted = soundfile.read(f"separated/song/{stem}.wav")[0]
        found = soundfile.read(f"{stem}.wav")[0]
        assert found.shape == wanted.shape and np.abs(wanted).max() > 1e-3
        assert np.abs(found - wanted).max() < 1e-4
