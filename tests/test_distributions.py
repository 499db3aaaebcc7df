"""What we hand out: a complete sdist, a wheel with all that the verbs read, a page for an index."""

import re
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import setup
from tests.installed import Distributions

PROJECT = Path(__file__).resolve().parent.parent
ROOMS = ("stemlode", "matching", "sql", "pipelines", "training")
ADDRESS = "https://example.org/owner/name"
TEXT = """![A flow: all of it](docs/flow.svg) and [how](benchmarks/RESULTS.md#here), [there](#down),
[their page](https://example.com/x) and ![theirs](https://example.com/x.png)"""


@pytest.mark.slow
def test_the_sdist_is_the_whole_project(distributions: Distributions) -> None:
    with tarfile.open(distributions.sdist) as packed:
        found = {name.partition("/")[2] for name in packed.getnames()}
    whole = {
        str(path.relative_to(distributions.source))
        for path in distributions.source.rglob("*")
        if path.is_file() and not path.relative_to(distributions.source).parts[0].endswith("info")
    }
    assert whole - found == set()
    assert {
        "LICENSE",
        "CHANGELOG.md",
        "pipelines/demo/command.py",
        "tests/conftest.py",
        "Makefile",
        ".ci/run",
    } <= found


@pytest.mark.slow
def test_the_wheel_has_all_that_is_read_at_run_time(distributions: Distributions) -> None:
    with zipfile.ZipFile(distributions.wheel) as packed:
        found = set(packed.namelist())
        [facts] = [name for name in found if name.endswith("dist-info/METADATA")]
        metadata = Parser().parsestr(packed.read(facts).decode())
    for room in ROOMS:
        assert f"{room}/py.typed" in found
        for path in (distributions.source / room).rglob("*"):
            name = str(path.relative_to(distributions.source))
            assert path.is_dir() or name in found, name
    assert not [name for name in found if not name.startswith((*ROOMS, "stemlode-"))]
    assert any(name.endswith("licenses/LICENSE") for name in found)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert str(metadata.get_payload()).startswith("# Stemlode")


def test_an_index_gets_whole_addresses() -> None:
    assert setup.for_an_index(TEXT, ADDRESS, "1.2") == (
        f"![A flow: all of it]({ADDRESS}/raw/v1.2/docs/flow.svg) and "
        f"[how]({ADDRESS}/blob/v1.2/benchmarks/RESULTS.md#here), [there](#down),\n"
        "[their page](https://example.com/x) and ![theirs](https://example.com/x.png)"
    )
    assert set(setup.addresses(ADDRESS, "1.2").values()) >= {ADDRESS, f"{ADDRESS}/issues"}


def test_without_an_address_an_index_gets_the_words() -> None:
    assert setup.for_an_index(TEXT, "", "1.2") == (
        "*A flow: all of it* and how, [there](#down),\n"
        "[their page](https://example.com/x) and ![theirs](https://example.com/x.png)"
    )
    assert setup.addresses("", "1.2") == {}


@pytest.mark.parametrize("repository", ["", ADDRESS])
def test_no_link_of_the_readme_is_left_without_an_address(repository: str) -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]*)\)", setup.for_an_index(readme, repository, "0"))
    assert all(link.startswith(("#", "https://")) for link in links), links


@pytest.mark.parametrize("page", ["README.md", *sorted(map(str, Path("docs").glob("*.md")))])
def test_what_a_page_links_to_is_there(page: str) -> None:
    text = (PROJECT / page).read_text(encoding="utf-8")
    for path in re.findall(r"\]\((?!\w+:|#)([^()\s#]+)", text):
        assert (PROJECT / page).parent.joinpath(path).exists(), path


def test_the_changelog_knows_this_version() -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert f"## {version}" in (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
