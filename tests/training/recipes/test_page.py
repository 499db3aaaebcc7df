"""docs/recipes.md says what the recipes are: every field of every one, sizes and costs."""

import fnmatch
from pathlib import Path

import pytest
import torch

from training.models import cost
from training.recipes.bsrnn import BSRNNRecipe
from training.recipes.cws import CWSRecipe
from training.recipes.registry import RECIPES, overridable
from training.recipes.values import shown

PAGE = Path(__file__).resolve().parents[3] / "docs" / "recipes.md"
FULL = [name for name in RECIPES if not name.endswith("-small")]
NOT_OF_THE_PAPERS = {"log_every"}


def _table(first: str) -> list[list[str]]:
    """The rows of the table whose header begins with a cell."""
    lines = PAGE.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


@pytest.mark.parametrize("name", FULL)
def test_every_field_of_a_recipe_is_on_the_page_once(name: str) -> None:
    rows: dict[str, list[str]] = {}
    for recipes, field, value, source, *_ in _table("recipes"):
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in recipes.split()):
            rows.setdefault(field, []).append(value)
            assert source
    assert rows.keys() == overridable(RECIPES[name]).keys() - NOT_OF_THE_PAPERS
    for field, values in rows.items():
        assert values == [shown(getattr(RECIPES[name], field)) or "none"], field


def test_no_row_is_of_no_recipe() -> None:
    for recipes, *_ in _table("recipes"):
        for pattern in recipes.split():
            assert fnmatch.filter(FULL, pattern), pattern


def test_sizes_and_costs_are_those_of_the_nets() -> None:
    rows = {name: cells for name, *cells in _table("recipe")}
    assert rows.keys() == set(FULL)
    for name, (parameters, gflops, bands) in rows.items():
        recipe = RECIPES[name]
        with torch.device("meta"):
            core = RECIPES[name].core()
            assert parameters == f"{cost.parameters(core):,}", name
            if isinstance(recipe, CWSRecipe):
                example = torch.zeros(1, 4 * recipe.bands, 1024 // recipe.bands, 376)
                assert gflops == f"{cost.operations(core, example) / 1e9:.2f}", name
                assert bands == str(recipe.bands)
        if isinstance(recipe, BSRNNRecipe):
            assert bands == str(len(recipe.widths))
