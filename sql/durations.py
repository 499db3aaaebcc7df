"""Texts that say how long something is, and in which units: what each engine reads as seconds."""

from typing import NamedTuple

NUMBER = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"  # of whatever unit the catalogue has


class Form(NamedTuple):
    """A way to write a duration.

    pattern: RE2, of a whole trimmed text, with a group for each unit; a group may be empty.
    seconds: what each unit is worth, in the order of the groups, in which they are added up.
    """

    pattern: str
    seconds: tuple[int, ...]


CLOCK = Form(  # H:MM:SS, or M:SS with any number of minutes
    r"^(?:(\d{1,6}):([0-5]\d)|(\d{1,6})):([0-5]\d(?:\.\d{1,9})?)$", (3600, 60, 60, 1)
)
ISO_8601 = Form(  # PT3M25.5S: days, hours, minutes and seconds, at least one of them
    r"^P(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9}(?:[.,]\d{1,9})?)S)?)?$",
    (86400, 3600, 60, 1),
)
FORMS = (CLOCK, ISO_8601)
