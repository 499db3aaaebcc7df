"""Several checkpoints as one system: which stem comes from which, whatever their order."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from stemlode import audio
from stemlode.runs import BadUsage
from tests.training.conftest import sing
from training import checkpoint
from training.checkpoint import Checkpoint
from training.evaluation import command as evaluation_command
from training.recipes import registry
from training.recipes.registry import RECIPES
from training.separation import command as separation_command
from training.separation.system import System

RATE = 44_100
SIZES = {"cws": {"width": 0.02}, "bsrnn": {"features": 4, "layers": 1, "hidden": 4}}


def _model(name: str) -> Checkpoint:
    torch.manual_seed(len(name))
    recipe = RECIPES[name]
    changes = SIZES.get(recipe.family, {"channels": (2, 3)})
    recipe = registry.override(recipe, changes)
    return Checkpoint(recipe, recipe.nets().eval(), 1)


def _saved(folder: Path, *names: str) -> list[str]:
    words = []
    for name in names:
        checkpoint.save(str(folder / name), _model(name))
        words += ["--checkpoint", str(folder / name)]
    return words


@pytest.mark.parametrize("swapped", [False, True])
def test_the_two_nets_of_the_thesis_are_one_system(swapped: bool, tmp_path: Path) -> None:
    """Vocals come from one, the accompaniment from the other, each as that net gives it alone."""
    mixture = sum(sing(1, 3, RATE))
    audio.write(str(tmp_path / "song.wav"), mixture, RATE, "FLOAT")
    names = ["unet-vocals", "unet-instrumental"]
    words = _saved(tmp_path, *(reversed(names) if swapped else names))

    def separated(output: str, *given: str) -> dict[str, np.ndarray]:
        place = [str(tmp_path / "song.wav"), "--output", str(tmp_path / output)]
        assert separation_command.main([*place, *given]) == 0
        parts = (tmp_path / output / "song").iterdir()
        return {path.stem: audio.read(str(path)).samples for path in parts}

    both = separated("both", *words, "--residual")
    vocals = separated("vocals", "--checkpoint", str(tmp_path / "unet-vocals"))
    backing = separated("backing", "--checkpoint", str(tmp_path / "unet-instrumental"))
    assert both.keys() == {"vocals", "accompaniment", "residual"}
    assert np.array_equal(both["vocals"], vocals["vocals"])
    assert np.array_equal(both["accompaniment"], backing["accompaniment"])
    assert not np.allclose(both["accompaniment"], vocals["accompaniment"], atol=1e-3)
    total = both["vocals"] + both["accompaniment"] + both["residual"]
    assert np.allclose(total, mixture, atol=1e-6)


def test_the_system_is_scored_as_it_separates(stems: Path, tmp_path: Path) -> None:
    def scores(output: str, words: list[str]) -> dict[tuple[str, str], dict[str, float]]:
        place = ["--stems", str(stems), "--output", str(tmp_path / output)]
        assert evaluation_command.main([*words, *place]) == 0
        rows = pq.read_table(tmp_path / output / "songs.parquet").to_pylist()
        return {(row["song"], row["source"]): row for row in rows}

    words = _saved(tmp_path, "unet-vocals", "unet-instrumental")
    both = scores("both", words)
    vocals, backing = scores("vocals", words[:2]), scores("backing", words[2:])
    assert len(both) == 20 and {source for _, source in both} == {"vocals", "accompaniment"}
    for key, row in both.items():
        alone = vocals if key[1] == "vocals" else backing
        for column in ("usdr_mixture", "usdr_estimate", "usdr_oracle", "csdr_estimate"):
            np.testing.assert_equal(row[column], alone[key][column])
    record = json.loads((tmp_path / "both" / "run.json").read_text())
    assert record["inputs"].keys() == {"checkpoint", "checkpoint_2", "stems"}


@pytest.mark.parametrize(
    ("names", "stems"),
    [
        (["unet-vocals"], ("vocals", "accompaniment")),
        (["unet-instrumental"], ("vocals", "accompaniment")),
        (["bsrnn-vocals", "unet-instrumental"], ("vocals", "accompaniment")),
        (["unet-instrumental", "bsrnn-bass"], ("vocals", "bass")),
        (["unet-vocals", "bsrnn-bass", "bsrnn-drum"], ("vocals", "bass", "drums")),
        (["cws-unet5-k1", "bsrnn-bass"], ("vocals", "accompaniment", "bass")),
    ],
)
def test_which_stems_a_system_gives(names: list[str], stems: tuple[str, ...]) -> None:
    models = [_model(name) for name in names]
    assert System(models).stems == stems
    assert set(System(models[::-1]).stems) == set(stems)


@pytest.mark.parametrize(
    ("names", "twice"),
    [
        (["unet-vocals", "bsrnn-vocals"], "vocals"),
        (["unet-instrumental", "unet-instrumental"], "vocals"),
        (["unet-instrumental", "cws-unet5-k1"], "accompaniment"),
        (["unet-vocals", "cws-unet5-k1"], "vocals"),
    ],
)
def test_two_models_of_one_stem_are_refused(names: list[str], twice: str) -> None:
    models = [_model(name) for name in names]
    for given in (models, models[::-1]):
        with pytest.raises(BadUsage, match=f"two of the models estimate {twice};"):
            System(given)
