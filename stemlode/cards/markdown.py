"""Markdown of texts that others wrote: they stay what they say, on one line."""

from collections.abc import Iterable

from stemlode.runs import on_one_line


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table, its cells as `plain`."""
    names = [*head]
    lines = [names, ["---"] * len(names), *([plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(said: str) -> str:
    """Text that Markdown and HTML leave as it is, on one line."""
    for mark in "\\`*_[]|#":
        said = said.replace(mark, f"\\{mark}")
    return on_one_line(said.replace("&", "&amp;").replace("<", "&lt;"))
