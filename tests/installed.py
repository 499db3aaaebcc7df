"""An environment of its own, with our wheel and one of its extras in it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
Install = Callable[..., "Environment"]


@dataclass(frozen=True)
class Environment:
    """Where an installed `stemlode` lies; `work` is a folder to run it in."""

    folder: Path
    work: Path

    def __call__(self, *words: str | Path) -> str:
        """Run `stemlode …` there; what it says. It must end well."""
        done = self.run(self.folder / "bin" / "stemlode", *words)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def has(self, package: str) -> bool:
        return self.run(self.folder / "bin" / "python", "-c", f"import {package}").returncode == 0

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return _run(words, self.work)


@dataclass(frozen=True)
class Distributions:
    """What `python -m build` makes of the project, and the copy of it that was built."""

    source: Path
    sdist: Path
    wheel: Path


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """The sdist, and the wheel made from it, built in a copy: a build leaves traces."""
    folder = tmp_path_factory.mktemp("distributions")
    source = folder / "source"
    shutil.copytree(PROJECT, source, ignore=_generated)
    done = _run([sys.executable, "-m", "build", "--outdir", folder, source], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Distributions(source, sdist, wheel)


@pytest.fixture(scope="session")
def install(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Install:
    """install(extra, *before) → an environment with our wheel's extra, after `before`."""

    def make(extra: str, *before: str) -> Environment:
        folder = tmp_path_factory.mktemp(extra)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
        there = ("--python", folder / "env" / "bin" / "python", "install", "--no-compile")
        if before:
            _pip(*there, *before)
        _pip(*there, f"{distributions.wheel}[{extra}]")
        return Environment(folder / "env", folder)

    return make


def _generated(folder: str, names: list[str]) -> list[str]:
    """What is there and not written by hand: caches, environments, what a build or demo left."""
    kept = {".ci", ".gitignore", ".pre-commit-config.yaml"}
    made = {"build", "dist", "demo", "site"} if Path(folder) == PROJECT else set()
    hidden = {name for name in names if name.startswith(".")} - kept
    caches = {name for name in names if name.endswith((".egg-info", "__pycache__", "node_modules"))}
    return [*hidden, *caches, *made]


def _pip(*words: str | Path) -> None:
    done = _run([sys.executable, "-m", "pip", "--quiet", *words], PROJECT)
    assert done.returncode == 0, done.stderr


def _run(words: Sequence[str | Path], where: Path) -> subprocess.CompletedProcess[str]:
    """Run a program that sees none of our sources."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(words, cwd=where, env=clean, capture_output=True, text=True, check=False)
