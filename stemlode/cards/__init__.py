"""What a folder says of itself to people and to other programs: cards in Markdown, Croissant."""

import re

README, CROISSANT = "README.md", "croissant.json"
NAMES = (README, CROISSANT)  # of what a corpus says of itself; people may edit it
KEPT = re.compile(r"(README-before-append\d+\.md|croissant-before-append\d+\.json)")


def kept_as(name: str, number: int) -> str:
    """What one of NAMES that somebody edited is called, once an addition made it anew."""
    stem, _, ending = name.partition(".")
    return f"{stem}-before-append{number}.{ending}"
