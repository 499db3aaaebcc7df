"""Recipes: the thesis' numbers, printable, every field overridable, safe to read back."""

import dataclasses
import json
from typing import Any

import pytest

from training.recipes import registry
from training.recipes.registry import RECIPES


@pytest.mark.parametrize(
    ("name", "target"), [("unet-vocals", "vocals"), ("unet-instrumental", "accompaniment")]
)
def test_numbers_of_the_thesis(name: str, target: str) -> None:
    recipe = RECIPES[name]
    assert recipe.target == target
    assert (recipe.sample_rate, recipe.n_fft, recipe.hop_length) == (8192, 1024, 768)
    assert recipe.patch_frames == 128 and recipe.patch_samples == 12 * 8192
    assert (recipe.learning_rate, recipe.beta1) == (2e-4, 0.5)
    assert recipe.remix_db == 0  # the thesis does not remix


def test_a_recipe_prints_all_its_fields() -> None:
    text = registry.describe(RECIPES["unet-vocals"])
    assert len(text.splitlines()) == len(dataclasses.fields(RECIPES["unet-vocals"]))
    assert "16 32 64 128 256 512" in text and "0.0002" in text


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_survive_json(name: str) -> None:
    fields = json.loads(json.dumps(registry.to_fields(RECIPES[name])))
    assert registry.from_fields(fields) == RECIPES[name]


@pytest.mark.parametrize(
    "change",
    [
        {"family": "os.system"},
        {"family": None},
        {"channels": "16"},
        {"channels": []},
        {"channels": [16, "x"]},
        {"channels": [16, -1]},
        {"channels": [1] * 40},
        {"channels": [10**9, 8]},
        {"kernel_size": 99_999},
        {"n_fft": 2**40},
        {"sample_rate": 1},
        {"sample_rate": 10**9},
        {"patch_frames": 10**9},
        {"batch_size": 1.5},
        {"batch_size": True},
        {"batch_size": 0},
        {"dropout": 1.0},
        {"learning_rate": float("nan")},
        {"learning_rate": None},
        {"target": "../drums"},
        {"hop_length": 2048},
        {"kernel_size": 4},
        {"unknown": 1},
        {"ema_decay": 1.0},
        {"accumulate": 17},
    ],
)
def test_a_value_that_cannot_be_is_named(change: dict[str, Any]) -> None:
    fields = registry.to_fields(RECIPES["unet-vocals"]) | change
    (field,) = change
    with pytest.raises(ValueError, match=field if field != "channels" else "channels|n_fft"):
        registry.from_fields(fields)


def test_a_missing_field_is_named() -> None:
    fields = registry.to_fields(RECIPES["unet-vocals"])
    del fields["target"]
    with pytest.raises(ValueError, match="'target' is missing"):
        registry.from_fields(fields)


def test_a_field_that_an_older_version_did_not_know_has_its_default() -> None:
    recipe = registry.override(RECIPES["unet-vocals"], {"dropout": 0.25})
    fields = registry.to_fields(recipe)
    for name in ("ema_decay", "accumulate", "skips"):
        del fields[name]
    assert registry.from_fields(fields) == recipe
