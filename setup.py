"""The README as a package index shows it, and the project's addresses; pyproject.toml has the rest.

An index knows nothing of our folders: `docs/flow.svg` has to be a whole address there. Where the
project lies is said in one place, `repository` in pyproject.toml. While that is empty, the index
gets a picture's text in place of the picture, and a link's words in place of the link.
"""

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent
LINK = re.compile(r"(!?)\[([^\[\]]*)\]\((?!\w+:|#)([^()\s]+)\)")


def for_an_index(text: str, repository: str, version: str) -> str:
    """Markdown whose pictures and links need no folder around it."""

    def whole(link: re.Match[str]) -> str:
        mark, words, path = link.groups()
        if not repository:
            return f"*{words}*" if mark else words
        kind = "raw" if mark else "blob"  # as GitHub and GitLab know them
        return f"{mark}[{words}]({repository}/{kind}/v{version}/{path})"

    return LINK.sub(whole, text)


def addresses(repository: str, version: str) -> dict[str, str]:
    """What the index links to; nothing while nobody knows where the project lies."""
    if not repository:
        return {}
    return {
        "Source": repository,
        "Issues": f"{repository}/issues",
        "Changelog": f"{repository}/blob/v{version}/CHANGELOG.md",
    }


if __name__ == "__main__":
    from setuptools import setup

    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    repository = declared["tool"]["stemlode"]["repository"].rstrip("/")
    version = declared["project"]["version"]
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    setup(
        long_description=for_an_index(readme, repository, version),
        long_description_content_type="text/markdown",
        project_urls=addresses(repository, version),
    )
