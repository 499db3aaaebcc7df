"""The table of recipes, and how recipes are printed, changed and read back.

Each family has a file of its own with a tuple `RECIPES`, and `NAMES`: patterns of their names as a
shell would expand them, with a sentence each. A new family is added to `FAMILIES`.
"""

import dataclasses
import types
import typing
from typing import Any

from training.recipes import bsrnn, complex_unet, cws, demucs, joint, unet
from training.recipes.base import Recipe
from training.recipes.values import shown

__all__ = ["FAMILIES", "NAMES", "RECIPES", "Field", "Recipe", "describe", "from_fields"]
__all__ += ["overridable", "override", "to_fields"]

FAMILIES = (unet, joint, complex_unet, cws, bsrnn, demucs)
RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for family in FAMILIES for recipe in family.RECIPES
}
NAMES: tuple[tuple[str, str], ...] = tuple(row for family in FAMILIES for row in family.NAMES)


def describe(recipe: Recipe) -> str:
    """A recipe as readable lines, one field each."""
    fields = dataclasses.asdict(recipe)
    width = max(map(len, fields))
    return "\n".join(f"{name:<{width}}  {shown(value)}" for name, value in fields.items())


def override(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """The recipe with some fields replaced, and those that follow from them (`Recipe.follows`);
    ValueError where a value cannot be."""
    return dataclasses.replace(recipe, **{**recipe.follows(values), **values})


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a recipe that a user may set."""

    kind: type  # of the value, or of each of them
    many: bool

    def read(self, text: str) -> Any:
        """The value from text, several with commas between; ValueError where it is none."""
        if self.many:
            return tuple(self._one(part) for part in text.split(",") if part)
        return self._one(text)

    @property
    def metavar(self) -> str:
        """What stands for the value in help texts."""
        if self.many:
            return "NAME,NAME,…" if self.kind is str else "N,N,…"
        return "yes|no" if self.kind is bool else self.kind.__name__.upper()

    def _one(self, text: str) -> Any:
        try:
            return _YES_OR_NO[text.lower()] if self.kind is bool else self.kind(text)
        except (ValueError, KeyError) as error:
            raise ValueError(f"{text!r} is not {_SAID.get(self.kind, 'a value')}") from error


_YES_OR_NO = {"yes": True, "true": True, "no": False, "false": False}
_SAID = {bool: "yes or no", int: "a whole number", float: "a number"}


def overridable(recipe: Recipe) -> dict[str, Field]:
    """Fields that a user may set, by name."""
    hints = typing.get_type_hints(type(recipe))
    return {
        field.name: Field(_element(hints[field.name]), _is_tuple(hints[field.name]))
        for field in dataclasses.fields(recipe)
        if field.name not in ("name", "summary")
    }


def to_fields(recipe: Recipe) -> dict[str, Any]:
    """Everything that `from_fields` needs, as JSON values."""
    return {"family": recipe.family, **dataclasses.asdict(recipe)}


def added(recipe: Recipe) -> dict[str, Any]:
    """What the recipe's fields are in plans without them: the default of a field that was added
    later is the behaviour of the time before it."""
    fields = dataclasses.fields(recipe)
    return {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}


def from_fields(fields: dict[str, Any]) -> Recipe:
    """A recipe from untrusted JSON values; ValueError names what is wrong.

    A field that is missing, because an older version did not have it, has its default.
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


def _is_tuple(hint: Any) -> bool:
    return isinstance(hint, types.GenericAlias)


def _element(hint: Any) -> type:
    """`int` for `tuple[int, ...]`, else the type itself."""
    return typing.get_args(hint)[0] if _is_tuple(hint) else hint


def _checked(name: str, value: Any, hint: Any) -> Any:
    """A JSON value as the field's type; ValueError where it is another."""
    wanted = _element(hint)
    many = _is_tuple(hint)
    if many != isinstance(value, (list, tuple)):
        raise ValueError(f"recipe field {name} is {value!r}")
    for item in value if many else [value]:
        whole = isinstance(item, int) and not isinstance(item, bool)
        if not (isinstance(item, wanted) and (whole or wanted is not int)) and not (
            wanted is float and whole
        ):
            raise ValueError(f"recipe field {name} is {value!r}, not {wanted.__name__}")
    return tuple(value) if many else wanted(value)
