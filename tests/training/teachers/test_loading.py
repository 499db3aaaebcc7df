"""Teachers of every kind, and what is said of those that are none."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stemlode import cli, files
from stemlode.runs import BadUsage, Failed
from training import checkpoint
from training.checkpoint import Checkpoint
from training.recipes import registry
from training.teachers import loading
from training.teachers.teacher import TeacherFault

PLAIN = "tests.training.teachers.plain_teachers"
# The makers of TorchScript and of the older ONNX export would like to see them go.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Mask(nn.Module):
    """Vocals are a quarter of the mixture."""

    def forward(self, mixture: Tensor) -> Tensor:
        return torch.stack([mixture * 0.25, mixture * 0.75], dim=1)


class Fixed(nn.Module):
    """Of one batch and length alone."""

    def forward(self, mixture: Tensor) -> Tensor:
        if mixture.shape != (2, 1, 1000):
            raise RuntimeError("another shape")
        return mixture * 0.25


def describe(path: Path, **facts: object) -> str:
    known = {"sample_rate": 16_000, "sources": ["vocals", "accompaniment"], **facts}
    path.with_suffix(".json").write_text(json.dumps(known))
    return str(path)


def scripted(folder: Path, net: nn.Module, **facts: object) -> str:
    path = folder / "net.pt"
    torch.jit.script(net).save(path)
    return describe(path, **facts)


def mixture(batch: int = 3, channels: int = 2, samples: int = 4000) -> Tensor:
    return 0.1 * torch.randn(batch, channels, samples, generator=torch.Generator().manual_seed(1))


def test_an_entry_point() -> None:
    teacher = loading.load(f"{PLAIN}:halves", "cpu")
    assert (teacher.sample_rate, teacher.channels, teacher.whole) == (16_000, None, True)
    assert teacher.sources == ("vocals", "accompaniment")
    given = mixture()
    found = teacher.estimate(given)
    assert torch.equal(found, torch.stack([given / 2, given / 2], dim=1))
    vocals, missed = teacher.separate(given, "vocals")
    assert torch.equal(vocals, given / 2)
    assert missed is not None and missed.max() < -100
    assert loading.load(f"{PLAIN}:newer", "cpu").sha256 != teacher.sha256
    assert loading.load(f"{PLAIN}:halves", "cpu").sha256 == teacher.sha256


def test_what_an_accompaniment_leaves_is_the_vocals() -> None:
    teacher = loading.load(f"{PLAIN}:one_rest", "cpu")
    given = mixture()
    vocals, missed = teacher.separate(given, "vocals")
    assert torch.allclose(vocals, 0.75 * given) and missed is None
    with pytest.raises(BadUsage, match="--target drums"):
        teacher.check("drums")


def test_estimates_can_be_learned_from() -> None:
    found = loading.load(f"{PLAIN}:halves", "cpu").estimate(mixture())
    weight = torch.ones(1, requires_grad=True)
    (weight * found).square().sum().backward()
    assert weight.grad is not None


def test_shapes_are_checked() -> None:
    with pytest.raises(TeacherFault, match=r"gave \[3, 2, 2, 3999\], not \[3, 2, 2, 4000\]"):
        loading.load(f"{PLAIN}:short", "cpu").estimate(mixture())
    with pytest.raises(TeacherFault, match="takes 2 channels, not 1"):
        loading.load(f"{PLAIN}:stereo", "cpu").estimate(mixture(channels=1))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "no such file"),
        ("no.such.module:thing", "No module named"),
        (f"{PLAIN}:nothing", "has no function nothing"),
        (f"{PLAIN}:nameless", "has no sample_rate"),
        (f"{PLAIN}:odd", "sources is"),
        ("nowhere.onnx", "no such file"),
        ("nowhere.pt", "no such file"),
    ],
)
def test_what_is_no_teacher_is_said_in_a_line(name: str, said: str) -> None:
    with pytest.raises(BadUsage, match=said):
        loading.load(name, "cpu")


def test_a_function_that_raises_is_named() -> None:
    with pytest.raises(Failed, match="broken: its function raised RuntimeError: no weights here"):
        loading.load(f"{PLAIN}:broken", "cpu")


def test_a_function_that_leaves_the_program_is_named() -> None:
    with pytest.raises(Failed, match="leaving: its function raised SystemExit: 0"):
        loading.load(f"{PLAIN}:leaving", "cpu")


def test_a_module_that_raises_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raising_teacher.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Failed, match="its module raised ZeroDivisionError: division by zero"):
        loading.load("raising_teacher:made", "cpu")


def test_a_teacher_may_write_into_its_input() -> None:
    mixture = torch.randn(2, 2, 800, generator=torch.Generator().manual_seed(0)) / 8
    before = mixture.clone()
    vocals, missed = loading.load(f"{PLAIN}:scaling", "cpu").separate(mixture, "vocals")
    assert torch.equal(mixture, before)
    assert torch.allclose(vocals, before / 2, atol=1e-6)
    assert missed is not None and float(missed.max()) < -100


@pytest.mark.parametrize("recipe", ["bsrnn-vocals-small", "unet-vocals", "cws-unet5-k4"])
def test_checkpoints_of_every_family(recipe: str, tmp_path: Path) -> None:
    found = registry.RECIPES[recipe]
    small = {
        "bsrnn-vocals-small": {"features": 4, "hidden": 4, "mask_hidden": 4, "layers": 1},
        "unet-vocals": {"channels": (2, 3, 4)},
        "cws-unet5-k4": {"width": 0.05},
    }
    torch.manual_seed(0)
    recipe_ = registry.override(found, small[recipe])
    trained = Checkpoint(recipe_, recipe_.nets(), 3)
    checkpoint.save(str(tmp_path / "checkpoint"), trained)
    teacher = loading.load(str(tmp_path), "cpu")
    assert teacher.sha256 == files.sha256(str(tmp_path / "checkpoint" / checkpoint.MODEL))
    assert teacher.sha256 == loading.sha256_of(str(tmp_path))
    assert teacher.sample_rate == recipe_.sample_rate
    given = mixture(samples=recipe_.sample_rate)
    vocals, missed = teacher.separate(given, "vocals")
    assert vocals.shape == given.shape and vocals.isfinite().all()
    assert (missed is None) == (len(teacher.sources) == 1)
    again = loading.of_checkpoint(checkpoint.load(str(tmp_path)), "0")
    assert torch.equal(again.separate(given, "vocals")[0], vocals)


def test_a_folder_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match=r"--teacher .*holds no model\.safetensors"):
        loading.load(str(tmp_path), "cpu")


def test_torchscript_with_its_description(tmp_path: Path) -> None:
    teacher = loading.load(scripted(tmp_path, Mask(), channels=2), "cpu")
    given = mixture()
    assert torch.allclose(teacher.estimate(given)[:, 0], given * 0.25)
    assert teacher.channels == 2
    renamed = loading.load(
        describe(tmp_path / "net.pt", sources=["accompaniment", "vocals"]), "cpu"
    )
    assert renamed.sha256 != teacher.sha256
    assert torch.allclose(renamed.separate(given, "vocals")[0], given * 0.75)


def test_a_net_of_one_batch_and_one_length_takes_any(tmp_path: Path) -> None:
    name = scripted(tmp_path, Fixed(), sources=["vocals"], samples=1000, batch=2)
    teacher = loading.load(name, "cpu")
    for samples in (1000, 300, 3700):
        given = mixture(batch=5, channels=1, samples=samples)
        assert torch.allclose(teacher.estimate(given)[:, 0], given * 0.25, atol=1e-6)


def test_onnx_says_the_same_as_the_net(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    path = tmp_path / "net.onnx"
    inner = nn.Conv1d(2, 4, 5, padding=2)
    net = nn.Sequential(inner, nn.Unflatten(1, (2, 2)))
    torch.onnx.export(
        net,
        (mixture(batch=2),),
        path,
        input_names=["mixture"],
        dynamic_axes={"mixture": {0: "batch", 2: "samples"}},
        dynamo=False,
    )
    teacher = loading.load(describe(path, channels=2), "cpu")
    given = mixture(batch=4, samples=777)
    with torch.no_grad():
        assert torch.allclose(teacher.estimate(given), net(given), atol=1e-5)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(Failed, match="no ONNX model"):
        loading.load(str(path), "cpu")


SPECTRAL = {"input": "spectrogram", "n_fft": 1024, "hop": 256, "bins": 513}
SPECTRAL |= {"parts": ["magnitude"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    ["bsrnn-vocals-small", "complex-unet-vocals", "unet-vocals", "cws-unet5-k2-small"],
)
def test_what_export_writes_teaches_like_its_checkpoint(recipe: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    small = {"features": 4, "hidden": 4, "mask_hidden": 4, "layers": 1}
    values = small if recipe.startswith("bsrnn") else {"channels": (2, 3, 4)}
    values = {"width": 0.03} if recipe.startswith("cws") else values
    torch.manual_seed(0)
    made = registry.override(registry.RECIPES[recipe], values)
    checkpoint.save(str(tmp_path / "checkpoint"), Checkpoint(made, made.nets(), 3))
    exported = tmp_path / "net.onnx"
    assert cli.main(["export", str(tmp_path / "checkpoint"), "--output", str(exported)]) == 0
    ours = loading.load(str(tmp_path / "checkpoint"), "cpu")
    theirs = loading.load(str(exported), "cpu")
    for channels in (1, 2) if recipe.startswith("cws") else (1,):
        given = mixture(channels=channels, samples=made.sample_rate + 7)
        wanted, found = (t.separate(given, "vocals")[0] for t in (ours, theirs))
        assert torch.allclose(found, wanted, atol=1e-4)
    assert theirs.estimate(mixture()).shape == (3, len(ours.sources), 2, 4000)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({**SPECTRAL, "hop": 2048}, "do not go together"),
        ({**SPECTRAL, "bands": 4}, "do not go together"),
        ({**SPECTRAL, "parts": ["phase"]}, "parts .'phase'. or window are unknown"),
        ({**SPECTRAL, "n_fft": None}, "not counts"),
        ({"sample_rate": "44.1 kHz"}, "sample_rate is '44.1 kHz'"),
        ({"sources": []}, "sources is"),
        ({"sources": ["vocals", "vocals"]}, "names one twice"),
        ({"channels": 0}, "channels is 0"),
        ({"batch": -1}, "batch is -1"),
        ({"sample_rat": 5}, "sample_rat is unknown"),
        ({"input": "smell"}, "input is 'smell'"),
        ({"whole": "no"}, "whole is 'no'"),
    ],
)
def test_a_wrong_description_is_named(facts: dict, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match=said):
        loading.load(scripted(tmp_path, Mask(), **facts), "cpu")


def test_a_missing_or_broken_description_is_named(tmp_path: Path) -> None:
    name = scripted(tmp_path, Mask())
    beside = tmp_path / "net.json"
    beside.write_text("{")
    with pytest.raises(BadUsage, match="no JSON"):
        loading.load(name, "cpu")
    beside.unlink()
    with pytest.raises(BadUsage, match=r"needs .*net\.json"):
        loading.load(name, "cpu")
    describe(tmp_path / "net.pt")
    (tmp_path / "net.pt").write_bytes(b"no program")
    with pytest.raises(Failed, match="no TorchScript"):
        loading.load(name, "cpu")


def test_a_teacher_can_say_that_it_leaves_something_out(tmp_path: Path) -> None:
    teacher = loading.load(scripted(tmp_path, Mask(), whole=False), "cpu")
    assert teacher.separate(mixture(), "vocals")[1] is None
    assert dataclasses.replace(teacher, whole=True).separate(mixture(), "vocals")[1] is not None
