"""The house's laws that are no import contract; the contract stands in pyproject.toml."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import grimp
import pytest

PROJECT = Path(__file__).resolve().parent.parent
ROOMS = ("stemlode", "matching", "sql", "pipelines", "training")
MOST_FILES = 14
# A file, an import that it must not have, and the contract that says so.
BAD_IMPORTS = [
    ("stemlode/ids.py", "matching.titles", "ground"),
    ("stemlode/ids.py", "apache_beam", "ground"),
    ("matching/links.py", "pathlib", "matching"),
    ("sql/names.py", "stemlode.ids", "sql"),
    ("training/devices.py", "scipy", "training"),
    ("training/devices.py", "pipelines.pages.text", "training"),
    ("pipelines/samples/chunks.py", "torch", "torch"),
    ("pipelines/corpus/splits.py", "training.devices", "teachers"),
    ("pipelines/pseudolabel/plan.py", "training.data.pools", "nets"),
    ("pipelines/salience/plan.py", "training.data.salience", "nets"),
    ("pipelines/report/page.py", "apache_beam", "beam"),
    ("pipelines/verify/index.py", "pipelines.transforms", "beam-free"),
    ("pipelines/match/estimate.py", "pipelines.match.options", "beam-free"),
    ("pipelines/launch.py", "pipelines.samples.chunks", "wings"),
    ("pipelines/corpus/splits.py", "pipelines.match.record", "closed"),
    ("pipelines/review/chart.py", "pipelines.prune.inputs", "prune"),
    ("pipelines/review/chart.py", "pipelines.corpus.splits", "corpus"),
    ("pipelines/review/chart.py", "pipelines.catalogue.reading", "catalogue"),
    ("pipelines/review/chart.py", "pipelines.samples.chunks", "samples"),
    ("pipelines/corpus/splits.py", "pipelines.pages.text", "pages"),
    ("training/recipes/base.py", "training.checkpoint", "levels"),
    ("stemlode/files.py", "stemlode.runs", "circles"),
]


def _folders(*roots: str) -> Iterator[Path]:
    """Folders with code in them, relative to the project."""
    for root in roots:
        for folder in (PROJECT / root, *(PROJECT / root).rglob("*/")):
            if any(folder.glob("*.py")):
                yield folder.relative_to(PROJECT)


@pytest.mark.parametrize("folder", [*_folders(*ROOMS, "tests")], ids=str)
def test_a_folder_is_seen_at_a_glance(folder: Path) -> None:
    files = [path.name for path in (PROJECT / folder).iterdir() if path.is_file()]
    files = [name for name in files if name != "py.typed"]  # empty: a sign for type checkers
    assert len(files) <= MOST_FILES, sorted(files)
    assert folder.parts[0] == "tests" or "__init__.py" in files


def test_tests_mirror_the_tree() -> None:
    tested = {folder.relative_to("tests") for folder in _folders("tests")} - {Path()}
    assert tested == set(_folders(*ROOMS, "docs"))


def test_every_name_is_of_one_thing() -> None:
    vague = {"utils", "util", "helpers", "common", "misc"}
    for room in ROOMS:
        for path in (PROJECT / room).rglob("*"):
            assert path.stem not in vague, path


def test_folders_form_no_circle() -> None:
    """A folder is its own files: what lies deeper is another folder, and may stand on this one."""
    graph = grimp.build_graph(*ROOMS, exclude_type_checking_imports=True, cache_dir=None)
    home = {
        name: name if (PROJECT / name.replace(".", "/")).is_dir() else name.rpartition(".")[0]
        for name in graph.modules
    }
    below: dict[str, set[str]] = {folder: set() for folder in home.values()}
    for name in graph.modules:
        wanted = {home[other] for other in graph.find_modules_directly_imported_by(name)}
        below[home[name]] |= wanted - {home[name]}
    assert len(below) > len(ROOMS)
    TopologicalSorter(below).prepare()  # raises CycleError, which names the folders


def test_every_file_of_pipelines_is_said_to_need_beam_or_not_to() -> None:
    contracts = _contracts()
    with_beam = tuple(contracts["beam"]["allowed_importers"])
    without = tuple(contracts["beam-free"]["source_modules"])
    for path in (PROJECT / "pipelines").rglob("*.py"):
        module = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
        if path.name != "__init__.py":
            said = [name for name in with_beam + without if f"{module}.".startswith(f"{name}.")]
            assert len(said) == 1, f"{module}: add it to `beam` or to `beam-free` in pyproject.toml"


@pytest.mark.parametrize("folder", [*_folders(*ROOMS)], ids=str)
def test_the_map_says_what_each_folder_is_for(folder: Path) -> None:
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert f"`{folder}/`" in text


def _contracts() -> dict[str, dict[str, Any]]:
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    return {contract["id"]: contract for contract in declared["tool"]["importlinter"]["contracts"]}


def _broken(house: Path, contract: str) -> bool:
    """Whether import-linter finds the contract broken in this house."""
    program = "import sys; from importlinter.cli import lint_imports_command as go; go()"
    words = [sys.executable, "-c", program, "--no-logo", "--no-cache", "--contract", contract]
    path = {"PYTHONPATH": str(house)}
    done = subprocess.run(words, cwd=house, env=path, capture_output=True, text=True, check=False)
    assert re.search(r"1 kept, 0 broken|0 kept, 1 broken", done.stdout), done.stdout + done.stderr
    assert done.returncode == ("1 broken" in done.stdout)
    return "1 broken" in done.stdout


@pytest.mark.slow
def test_every_contract_can_break(tmp_path: Path) -> None:
    for name in ROOMS:
        shutil.copytree(
            PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    contracts = [*_contracts()]
    assert {contract for *_, contract in BAD_IMPORTS} == set(contracts)
    for file, bad, contract in BAD_IMPORTS:
        source = tmp_path / file
        good = source.read_text()
        source.write_text(f"{good}\nimport {bad}\n")
        assert _broken(tmp_path, contract), f"{file} may import {bad}"
        source.write_text(good)
    assert not any(_broken(tmp_path, contract) for contract in contracts[:3])


def test_arrow_s_threads_hold_no_file_of_python_s() -> None:
    """Where they still hold one when the process ends, it aborts: `terminate called without …`."""
    found = [
        f"{path.relative_to(PROJECT)}: {line.strip()}"
        for room in ROOMS
        for path in (PROJECT / room).rglob("*.py")
        for line in path.read_text().splitlines()
        if re.search(r"\bpq\.read_table\(|pre_buffer=True|\bread_csv\((?!pa\.BufferReader)", line)
    ]
    assert not found
