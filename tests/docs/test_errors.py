"""The lines that docs/errors.md explains are lines that the program says."""

import re

import pytest

from tests.docs.commands import PROJECT

LINES = re.findall(r"^\*\*`(.+?)`\*\*", (PROJECT / "docs" / "errors.md").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def said() -> str:
    """All texts of the program, those that go over several lines put together."""
    code = [
        path.read_text(encoding="utf-8")
        for room in ("stemlode", "pipelines", "training", "sql")
        for path in (PROJECT / room).rglob("*.py")
    ]
    return re.sub(r"\"\s*f?\"", "", "\n".join(code))


@pytest.mark.parametrize("line", LINES)
def test_a_line_that_is_explained_is_said(line: str, said: str) -> None:
    assert line in said
