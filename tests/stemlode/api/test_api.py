"""`import stemlode` in a notebook: what is public, what it loads, and what it raises."""

import asyncio
import inspect
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pyarrow as pa
import pytest

import stemlode
from stemlode import locks, runs

CATALOGUE = """track_id,artist,title,duration_s
1,Ann,Song,100
2,Ann,Song (Instrumental),100.5
3,Bob,,90
"""
# What API_VERSION counts: another line here is another version there.
PUBLIC = {
    "1.0": {
        "API_VERSION": "",
        "BadUsage": "",
        "Chunk": "(audio, sample_rate, row)",
        "Failed": "",
        "OpenCorpus": "(folder, index, sources)",
        "Run": "(folder)",
        "Separator": "(system)",
        "corpus": "(output, *, pairs, stems, vocals, instrumentals, **options)",
        "evaluate": "(checkpoint, output, *, stems, corpus, **options)",
        "load": "(*checkpoints, device, chunk_seconds, hop_seconds, residual)",
        "match": "(catalog, output, **options)",
        "open_corpus": "(folder, sources)",
        "open_run": "(folder)",
        "prune": "(candidates, output, **options)",
        "scan": "(music, output, **options)",
    }
}


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "songs.csv").write_text(CATALOGUE)
    return tmp_path / "songs.csv"


def _signature(found: object) -> str:
    if not callable(found) or (isinstance(found, type) and issubclass(found, Exception)):
        return ""
    parameters = inspect.signature(found).parameters.values()
    plain = [one.replace(annotation=one.empty, default=one.empty) for one in parameters]
    return str(inspect.Signature(plain))


def test_what_is_public_changes_only_with_its_version() -> None:
    found = {name: _signature(getattr(stemlode, name)) for name in stemlode.__all__}
    assert found == PUBLIC[stemlode.API_VERSION]
    page = Path(runs.__file__).parents[1] / "docs" / "python.md"
    missing = [name for name in stemlode.__all__ if name not in page.read_text(encoding="utf-8")]
    assert not missing
    assert {*stemlode.__all__} <= {*dir(stemlode)}
    with pytest.raises(AttributeError, match="no attribute 'sacn'"):
        _ = stemlode.sacn  # type: ignore[attr-defined]


def test_importing_it_loads_nothing_else() -> None:
    heavy = ["apache_beam", "torch", "numpy", "pyarrow", "fsspec", "duckdb", "soundfile"]
    program = f"import sys, stemlode; print([n for n in {heavy} if n in sys.modules])"
    program += "; stemlode.BadUsage; stemlode.match; stemlode.open_corpus"
    program += "; print([n for n in ['apache_beam', 'torch'] if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n[]\n"


def test_a_verb_gives_a_run(catalogue: Path) -> None:
    found = stemlode.match(catalogue, "out", tolerance=1)
    assert found.verb == "match" and found.counts["candidates"] == 1
    assert found.counts == stemlode.open_run("out").counts
    assert found.tables == ["candidates", "rejects"]
    table = found.table("candidates", ["mix.title"])
    assert isinstance(table, pa.Table) and table.to_pylist() == [{"mix": {"title": "Song"}}]
    assert found.rejects["message"][0].as_py() and found.rejects.num_rows == 1
    assert "candidates 1" in repr(found) and "<td>1</td>" in found._repr_html_()
    assert os.fspath(found) == str(catalogue.parent / "out")  # wherever the notebook goes
    page = found.report()
    assert page == str(catalogue.parent / "report.html") and "<html" in Path(page).read_text()
    with pytest.raises(stemlode.BadUsage, match="no table 'pairs'; its tables are candidates"):
        found.table("pairs")
    with pytest.raises(stemlode.BadUsage, match="candidates has no column 'd'; it has pair_id"):
        found.table("candidates", ["pair_id", "d"])


def test_a_second_call_finds_it_done_and_a_third_may_differ(catalogue: Path) -> None:
    before = (catalogue.parent / "out", 5)
    stemlode.match(catalogue, before[0], tolerance=before[1])
    written = (before[0] / "run.json").read_bytes()
    stemlode.match(str(catalogue), str(before[0]), tolerance=before[1])
    assert (before[0] / "run.json").read_bytes() == written
    with pytest.raises(stemlode.BadUsage, match="holds a run with --tolerance 5"):
        stemlode.match(catalogue, "out", tolerance=1)
    assert stemlode.match(catalogue, "out", tolerance=1, overwrite=True).options["tolerance"] == 1


def test_a_configuration_and_what_is_said_beside_it(catalogue: Path) -> None:
    Path("run.toml").write_text('tolerance = 7\nrule = "extended"\n')
    found = stemlode.match(catalogue, "out", config="run.toml", tolerance=2)
    assert (found.options["tolerance"], found.options["rule"]) == (2, "extended")
    assert stemlode.match(catalogue, "again", config=found).options == found.options


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tolerence": 2}, "stemlode.match: unknown key tolerence; did you mean tolerance?"),
        ({"tolerance": "wide"}, "stemlode.match: tolerance: a number is wanted, not 'wide'"),
        ({"tolerance": -1}, "--tolerance -1.0: a number of seconds above zero"),
        ({"tolerance": object()}, "stemlode.match: tolerance"),
        ({"catalog": "nowhere.csv"}, "--catalog"),
        ({"catalog": "foo://a"}, "foo://a: Protocol not known"),
        ({"catalog": 3}, "3 is no path"),
        ({"estimate": True}, "stemlode.match: estimate writes nothing"),
        ({"print_config": True}, "stemlode.match: print_config is for the command line"),
        ({"config": "nowhere.toml"}, "--config nowhere.toml: No such file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_an_exception_with_one_line(
    options: dict, says: str, catalogue: Path
) -> None:
    with pytest.raises(stemlode.BadUsage) as error:
        stemlode.match(**({"catalog": catalogue, "output": "out"} | options))
    assert says in str(error.value) and "\n" not in str(error.value)
    assert not Path("out").exists()


def test_a_bug_of_ours_is_told_as_one_and_keeps_its_cause(
    catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        locks.claim(str(catalogue.parent))
        logging.disable(logging.CRITICAL)
        warnings.simplefilter("error")
        raise RuntimeError("broken\nin two lines")

    monkeypatch.setattr("pipelines.match.command.main", broken)
    monkeypatch.setattr(logging.root.manager, "disable", logging.NOTSET)  # other tests run verbs
    filters, held = [*warnings.filters], {*locks.held()}
    with pytest.raises(stemlode.Failed, match="a bug of ours") as error:
        stemlode.match(catalogue, "out")
    assert isinstance(error.value.__cause__, RuntimeError)
    assert logging.root.manager.disable == logging.NOTSET and warnings.filters == filters
    assert {*locks.held()} <= held  # so that another process may go on there


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*sys.modules]:
        if name in {"torch", "training.separation.separator"}:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(stemlode.__dict__, "load", raising=False)
    with pytest.raises(ImportError, match=r"stemlode.load needs torch: pip install 'stemlode\[tr"):
        _ = stemlode.load


def test_it_works_while_an_event_loop_runs(catalogue: Path) -> None:
    async def cell() -> stemlode.Run:
        return stemlode.match(catalogue, "out")

    assert asyncio.run(cell()).counts["candidates"] == 1


@pytest.mark.slow
def test_types_are_known_without_running_it(tmp_path: Path) -> None:
    program = tmp_path / "notebook.py"
    program.write_text(
        "import stemlode\nreveal_type(stemlode.match)\nreveal_type(stemlode.load('m').separate)\n"
        "reveal_type(stemlode.open_corpus('c').split('train')[0].audio)\nstemlode.scan(1)\n"
        "reveal_type(stemlode.match('c', 'o').counts)\n"
    )
    words = ["mypy", "--ignore-missing-imports", "--follow-imports=silent", program.name]
    words += ["--cache-dir", str(tmp_path / "cache")]
    env = os.environ | {"MYPYPATH": str(Path(runs.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=tmp_path, capture_output=True, text=True, check=False, env=env,
    )  # fmt: skip
    assert "**options: Any) -> stemlode.api.results.Run" in done.stdout
    assert "sample_rate: int) -> dict[str, " in done.stdout
    assert "dict[str, float]" in done.stdout
    assert 'Missing positional argument "output"' in done.stdout
