"""Each option of a recipe says in a sentence what it is, and a range that holds."""

import dataclasses
import math

import pytest

from training.finetuning import command as finetune
from training.loop.options import parser_of
from training.recipes import meanings, registry
from training.recipes.base import Recipe
from training.recipes.registry import RECIPES
from training.recipes.values import ZERO_ALLOWED, many

FAMILIES = list({recipe.family: recipe for recipe in RECIPES.values()}.values())


def _refused(recipe: Recipe, name: str, value: object) -> bool:
    given = (value,) if isinstance(getattr(recipe, name), tuple) else value
    try:
        dataclasses.replace(recipe, **{name: given})
    except ValueError:
        return True
    return False


def test_every_option_of_every_recipe_has_a_sentence_and_a_range() -> None:
    for recipe in RECIPES.values():
        for name, field in registry.overridable(recipe).items():
            assert meanings.is_described(recipe, name), name
            meaning = meanings.of(recipe, name)
            shown = meaning.shown(recipe, name)
            assert len(meaning.sentence) > 8 and shown.endswith("]") and "[]" not in shown
            if field.kind is not bool and not meaning.choices and field.kind is not str:
                low, high = meaning.limits(name)
                assert all(low <= value <= high for value in many(getattr(recipe, name))), name


@pytest.mark.parametrize("recipe", FAMILIES, ids=lambda recipe: recipe.family)
def test_what_lies_outside_a_range_is_refused(recipe: Recipe) -> None:
    for name, field in registry.overridable(recipe).items():
        meaning = meanings.of(recipe, name)
        if meaning.choices:
            assert str(getattr(recipe, name)) in meaning.choices
            assert _refused(recipe, name, 3 if field.kind is int else "nonsense"), name
        elif field.kind in (int, float):
            low, high = meaning.limits(name)
            outside = [-1, *([0] if name not in ZERO_ALLOWED else [])]
            outside += [low * 0.9] if low else []
            outside += [] if math.isinf(high) else [high + 1]
            outside += [] if meaning.below is None else [meaning.below]
            for value in outside:
                assert _refused(recipe, name, field.kind(value)), (name, value)


@pytest.mark.parametrize("recipe", FAMILIES, ids=lambda recipe: recipe.family)
def test_help_shows_it_with_the_default(recipe: Recipe) -> None:
    shown = " ".join(parser_of(recipe).format_help().split())
    for name in registry.overridable(recipe):
        assert " ".join(meanings.shown(recipe, name).split())[:40] in shown, name
    assert "(default " in shown


def test_finetune_says_it_too() -> None:
    shown = " ".join(finetune.parser().format_help().split())
    assert "examples of a step [1 to 65,536]" in shown
