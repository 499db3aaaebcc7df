"""Checkpoints: what was saved comes back; what is damaged or hostile is refused, never run."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stemlode import files
from stemlode.runs import BadUsage, Failed
from training import checkpoint
from training.checkpoint import Checkpoint
from training.recipes import registry
from training.recipes.chunks import Chunking


@pytest.fixture
def model(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of a good model.safetensors, to be damaged."""
    path = tmp_path / "checkpoint" / "model.safetensors"
    path.parent.mkdir()
    path.write_bytes((tiny_checkpoint / "model.safetensors").read_bytes())
    return path


def _refused(model: Path) -> str:
    with pytest.raises(Failed) as caught:
        checkpoint.load(str(model.parent))
    assert str(model) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_it_comes_back_as_it_was(tiny_checkpoint: Path) -> None:
    found = checkpoint.load(str(tiny_checkpoint))
    torch.manual_seed(0)
    same = found.recipe.core()
    assert found.recipe.name == "unet-vocals" and found.step == 7
    assert found.scores == {"valid_loss": 1.5}
    assert not found.core.training
    for name, tensor in same.state_dict().items():
        assert torch.equal(found.core.state_dict()[name], tensor)


def test_an_older_checkpoint_without_newer_fields_loads(model: Path) -> None:
    tensors, config = checkpoint.read_tensors(str(model))
    for name in ("ema_decay", "accumulate"):
        del config["recipe"][name]
    checkpoint.write_tensors(str(model), tensors, config)
    assert checkpoint.load(str(model.parent)).recipe.accumulate == 1
    config["recipe"]["of_the_future"] = 1
    checkpoint.write_tensors(str(model), tensors, config)
    assert "recipe field 'of_the_future' is unknown" in _refused(model)


def test_a_band_split_net_without_a_norm_normalises_frame_by_frame(tmp_path: Path) -> None:
    """As all did before there was the field; a new one normalises a band over time."""
    sizes = {"features": 4, "layers": 1, "hidden": 4, "mask_hidden": 4}
    new = registry.override(registry.RECIPES["bsrnn-vocals"], sizes)
    assert new.norm == "band"
    old = registry.override(new, {"norm": "frame"})
    core = old.core().eval()
    path = tmp_path / "old" / "model.safetensors"
    checkpoint.save(str(path.parent), Checkpoint(old, core, 7))
    tensors, config = checkpoint.read_tensors(str(path))
    del config["recipe"]["norm"]
    checkpoint.write_tensors(str(path), tensors, config)
    found = checkpoint.load(str(path.parent))
    assert found.recipe == old and found.recipe.own_chunks == Chunking()
    spectrum = torch.randn(1, new.transform.bins, 12, dtype=torch.complex64)
    with torch.inference_mode():
        assert torch.equal(*(net(torch.view_as_real(spectrum).permute(0, 3, 1, 2).contiguous())
                             for net in (found.core, core)))  # fmt: skip


def test_a_run_folder_serves_as_well_as_its_checkpoint(model: Path) -> None:
    assert checkpoint.load(str(model.parent.parent)).step == 7


def test_the_same_weights_give_the_same_bytes(tiny_checkpoint: Path, tmp_path: Path) -> None:
    found = checkpoint.load(str(tiny_checkpoint))
    checkpoint.save(str(tmp_path / "again"), found)
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tiny_checkpoint / name).read_bytes()


def test_the_configuration_is_readable_beside_it(tiny_checkpoint: Path) -> None:
    config = json.loads((tiny_checkpoint / "config.json").read_text())
    assert config["recipe"]["channels"] == [2, 3, 4] and config["step"] == 7
    assert config["recipe"] == json.loads(
        json.dumps(registry.to_fields(checkpoint.load(str(tiny_checkpoint)).recipe))
    )


def test_a_folder_without_a_model_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match=r"--checkpoint .*holds no model\.safetensors"):
        checkpoint.load(str(tmp_path))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 10**9), flip=st.integers(1, 255))
def test_any_changed_byte_is_noticed(model: Path, position: int, flip: int) -> None:
    good = model.read_bytes()
    data = bytearray(good)
    data[position % len(data)] ^= flip
    model.write_bytes(data)
    try:
        _refused(model)
    finally:
        model.write_bytes(good)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.999999))
def test_a_file_that_was_cut_off_is_refused(model: Path, share: float) -> None:
    good = model.read_bytes()
    model.write_bytes(good[: int(share * len(good))])
    try:
        _refused(model)
    finally:
        model.write_bytes(good)


class _Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("writer", [pickle.dumps, None])
def test_a_pickle_is_refused_and_not_run(model: Path, tmp_path: Path, writer: Any) -> None:
    bomb = _Bomb(str(tmp_path / "ran"))
    if writer:
        model.write_bytes(writer(bomb))
    else:
        torch.save({"weights": bomb}, model)
    _refused(model)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"channels": [10**6, 10**6, 10**6]}, "tensor"),
        ({"channels": [10**9] * 3}, ""),
        ({"kernel_size": 10**6 + 1}, "tensor"),
        ({"family": "__import__"}, "family"),
        ({"channels": [2, 3]}, "tensor"),
        ({"dropout": "0.5"}, "dropout"),
    ],
)
def test_a_hostile_recipe_is_refused_before_it_costs_memory(
    model: Path, change: dict[str, Any], says: str
) -> None:
    tensors, config = checkpoint.read_tensors(str(model))
    config["recipe"] |= change
    checkpoint.write_tensors(str(model), tensors, config)
    assert says in _refused(model)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(model: Path, value: float) -> None:
    tensors, config = checkpoint.read_tensors(str(model))
    tensors["encoder.0.0.weight"][0, 0, 0, 0] = value
    checkpoint.write_tensors(str(model), tensors, config)
    assert "NaN or infinity" in _refused(model)


def test_tensors_of_another_model_are_refused(model: Path) -> None:
    model.write_bytes(safetensors.torch.save({"weight": torch.zeros(3)}))
    assert "no configuration" in _refused(model)
    checkpoint.write_tensors(str(model), {}, {})
    assert "format None" in _refused(model)


def test_a_crash_while_saving_leaves_the_old_one(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = checkpoint.load(str(model.parent))

    def full(path: str, data: bytes) -> None:
        with files.atomic_write(path) as file:
            file.write(data[:100])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(str(model.parent), found)
    assert checkpoint.load(str(model.parent)).step == 7
    assert [path.name for path in model.parent.iterdir()] == ["model.safetensors"]
