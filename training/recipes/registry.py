"""The table of recipes, and how recipes are printed, changed and read back.

Each family keeps its own in a file `recipes_FAMILY.py`, as a tuple `RECIPES`.
"""

import dataclasses
import types
import typing
from typing import Any

from torch import nn

from training.recipes import bsrnn, complex_unet, cws, unet
from training.recipes.base import Recipe, shown

__all__ = ["RECIPES", "Recipe", "build", "describe", "from_fields", "overridable", "override"]
__all__ += ["to_fields"]

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for family in (unet, complex_unet, cws, bsrnn) for recipe in family.RECIPES
}


def build(name: str) -> nn.Module:
    """The core of a recipe by its name; KeyError for a name that is none."""
    return RECIPES[name].core()


def describe(recipe: Recipe) -> str:
    """A recipe as readable lines, one field each."""
    fields = dataclasses.asdict(recipe)
    width = max(map(len, fields))
    return "\n".join(f"{name:<{width}}  {shown(value)}" for name, value in fields.items())


def override(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """The recipe with some fields replaced; ValueError where a value cannot be."""
    return dataclasses.replace(recipe, **values)


def overridable(recipe: Recipe) -> dict[str, Any]:
    """Fields that a user may set, with what reads a value (each value, for a tuple) from text."""
    hints = typing.get_type_hints(type(recipe))
    readers = {name: _element(hint) for name, hint in hints.items()}
    return {
        field.name: yes_or_no if readers[field.name] is bool else readers[field.name]
        for field in dataclasses.fields(recipe)
        if field.name not in ("name", "summary")
    }


def yes_or_no(text: str) -> bool:
    """A switch's value from text."""
    known = {"yes": True, "true": True, "no": False, "false": False}
    if text.lower() not in known:
        raise ValueError(f"{text!r} is neither yes nor no")
    return known[text.lower()]


def to_fields(recipe: Recipe) -> dict[str, Any]:
    """Everything that `from_fields` needs, as JSON values."""
    return {"family": recipe.family, **dataclasses.asdict(recipe)}


def added(recipe: Recipe) -> dict[str, Any]:
    """What plans without one of the recipe's fields mean: a field that came later has as its
    default the behaviour of before it."""
    fields = dataclasses.fields(recipe)
    return {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}


def from_fields(fields: dict[str, Any]) -> Recipe:
    """A recipe from JSON values that nobody vouches for; ValueError names what is wrong.

    A field that is not there, for an older version knew it not, has its default.
    """
    if not isinstance(fields, dict):
        raise ValueError("the recipe is no object")
    families = {recipe.family: type(recipe) for recipe in RECIPES.values()}
    family = families.get(str(fields.get("family")))
    if family is None:
        raise ValueError(f"model family {fields.get('family')!r} is unknown")
    values = {name: value for name, value in fields.items() if name != "family"}
    hints = {field.name: typing.get_type_hints(family)[field.name] for field in _fields(family)}
    needed = {field.name for field in _fields(family) if field.default is dataclasses.MISSING}
    for odd in sorted(set(values) - set(hints)):
        raise ValueError(f"recipe field {odd!r} is unknown")
    for odd in sorted(needed - set(values)):
        raise ValueError(f"recipe field {odd!r} is missing")
    return family(**{name: _checked(name, value, hints[name]) for name, value in values.items()})


def _fields(family: type[Recipe]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(family)


def _element(hint: Any) -> type:
    """`int` for `tuple[int, ...]`, else the type itself."""
    return typing.get_args(hint)[0] if isinstance(hint, types.GenericAlias) else hint


def _checked(name: str, value: Any, hint: Any) -> Any:
    """A JSON value as the field's type; ValueError where it is another."""
    wanted = _element(hint)
    many = isinstance(hint, types.GenericAlias)
    if many != isinstance(value, (list, tuple)):
        raise ValueError(f"recipe field {name} is {value!r}")
    for item in value if many else [value]:
        whole = isinstance(item, int) and not isinstance(item, bool)
        if not (isinstance(item, wanted) and (whole or wanted is not int)) and not (
            wanted is float and whole
        ):
            raise ValueError(f"recipe field {name} is {value!r}, not {wanted.__name__}")
    return tuple(value) if many else wanted(value)
