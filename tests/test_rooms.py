"""The house's laws of who may import whom, read from the sources."""

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
ROOMS = {"matching", "pipelines", "sql", "training"}
BEAM_FREE = {
    f"pipelines.{name}"
    for name in (
        "schemas", "activity", "arguments", "audio", "decoders", "files", "locks", "powers", "runs"
    )
} | {  # where the songs of a folder lie is one question for a corpus and for scores
    f"pipelines.layouts{name}"
    for name in (
        "", "_grouping", "_ikala", "_mapping", "_medleydb", "_moisesdb", "_musdb", "_songs"
    )
}  # fmt: skip
FORBIDDEN = {
    "matching": {"apache_beam", "torch", *ROOMS} - {"matching"},
    "sql": {"apache_beam", "torch", "pipelines", "training"},
    "pipelines": {"torch", "training"},
    "training": {"apache_beam", "sql", "matching"},
}
TEACHING = "pseudolabel"  # the files of pipelines that may call a trained net


def _imports(source: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    for source in (PROJECT / room).rglob("*.py"):
        roots = {name.split(".")[0] for name in _imports(source)}
        allowed = {"training"} if source.name.startswith(TEACHING) else set()
        assert not roots & FORBIDDEN[room] - allowed, source


def test_training_uses_only_the_beam_free_files_of_pipelines() -> None:
    for source in (PROJECT / "training").rglob("*.py"):
        ours = {name for name in _imports(source) if name.startswith("pipelines.")}
        modules = {".".join(name.split(".")[:2]) for name in ours}
        assert modules <= BEAM_FREE, source


@pytest.mark.parametrize("module", sorted(BEAM_FREE))
def test_beam_free_files_are_free_of_beam(module: str) -> None:
    source = PROJECT / (module.replace(".", "/") + ".py")
    roots = {name.split(".")[0] for name in _imports(source)}
    assert "apache_beam" not in roots
    ours = {".".join(n.split(".")[:2]) for n in _imports(source) if n.startswith("pipelines.")}
    assert ours <= BEAM_FREE
