"""What pyproject.toml says that an extra installs."""

import re
import tomllib

from tests.installed import PROJECT


def required(*extras: str) -> set[str]:
    """Requirements of the base and of some extras, those of the extras in them too."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    found = {*project["dependencies"]}
    for extra in extras:
        for line in project["optional-dependencies"][extra]:
            inner = re.fullmatch(r"stemlode\[(.*)\]", line)
            found |= required(*inner[1].split(",")) if inner else {line}
    return found


def names(*extras: str) -> set[str]:
    """The packages alone."""
    return {re.split(r"[\[<>=]", line)[0] for line in required(*extras)}
