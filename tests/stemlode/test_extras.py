"""Extras hold what their verbs import, and what is missing is said in one line with its extra."""

import functools
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest

from stemlode import cli, extras, files

PROJECT = Path(__file__).resolve().parents[2]
DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
# What `import` calls a package that several distributions share, or that comes with another.
DISTRIBUTIONS = {"google": "google-cloud-bigquery", "markupsafe": "jinja2"}

# Each attempt is a fork. Many of them import what is not ours once, before: each forgets what it is
# not to find, and all of ours. Prints [status, stderr] of each.
BLOCKED = """
import importlib, json, os, sys, tempfile
from stemlode import cli, extras
if sys.argv[2]:
    for module, *_ in cli.VERBS.values():
        importlib.import_module(module)

def forget(names):
    for name in list(sys.modules):
        if name.split(".")[0] in names:
            del sys.modules[name]

class Block:
    def __init__(self, names):
        self.names = names
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def attempt(verb, names):
    with tempfile.TemporaryFile() as told:
        child = os.fork()
        if not child:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(told.fileno(), 2)
            status = 70
            try:
                forget({*names, *extras.OURS})
                sys.meta_path.insert(0, Block(names))
                status = importlib.import_module("stemlode.cli").main([verb, "--help"])
            except SystemExit as end:
                status = end.code or 0
            finally:
                sys.stderr.flush()
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        told.seek(0)
        return status, told.read().decode()

print(json.dumps([attempt(verb, set(names)) for verb, names in json.loads(sys.argv[1])]))
"""


def _distribution(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement).group().lower().replace("_", "-")  # type: ignore[union-attr]


def _installed_by(extra: str) -> set[str]:
    """The distributions that pip is told to install for an extra, or several (`a,b`)."""
    found = set()
    for requirement in [r for one in extra.split(",") for r in _extras()[one]]:
        inner = re.match(r"stemlode\[(.*)\]", requirement)
        found |= _installed_by(inner[1]) if inner else {_distribution(requirement)}
    return found


def _extras() -> dict[str, list[str]]:
    return DECLARED["optional-dependencies"]


BASE = {_distribution(requirement) for requirement in DECLARED["dependencies"]}


OPTIONAL = {"opentelemetry", "s3fs"}  # imported where they are there, or where a path asks for them


@functools.cache
def _needed() -> dict[str, set[str]]:
    """The packages beyond the base that each verb's module imports, directly or not, ever."""
    graph = grimp.build_graph(
        *extras.OURS,
        include_external_packages=True,
        exclude_type_checking_imports=True,
        cache_dir=None,
    )
    return {
        verb: {
            package
            for name in graph.find_upstream_modules(module)
            if (package := name.split(".")[0]) not in {*extras.OURS, *sys.stdlib_module_names}
            and not _distributions(package) & BASE
        }
        for verb, (module, *_) in cli.VERBS.items()
    }


def _distributions(package: str) -> set[str]:
    if package in DISTRIBUTIONS:
        return {DISTRIBUTIONS[package]}
    return {name.lower().replace("_", "-") for name in _installed().get(package, [])}


@functools.cache
def _installed() -> Mapping[str, list[str]]:
    return packages_distributions()


def _attempts(
    attempts: Iterable[tuple[str, list[str]]], ahead: bool = False
) -> list[tuple[int, str]]:
    """Exit status and stderr of `stemlode VERB --help` without these packages, for each."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, json.dumps(list(attempts)), "ahead" * ahead],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _check_line(verb: str, said: str) -> None:
    """One line that names a package and, each for itself, extras that install it."""
    told = re.fullmatch(rf"error: stemlode {verb} needs ([\w.]+): (.*)\n", said)
    assert told, said
    package = told[1].split(".")[0]
    for extra in re.findall(r"pip install 'stemlode\[([\w,]+)\]'", told[2]):
        assert _distributions(package) & _installed_by(extra), said


@pytest.mark.parametrize("verb", cli.VERBS)
def test_a_verbs_extra_installs_all_that_it_imports(verb: str) -> None:
    for package in _needed()[verb]:
        for extra in cli.VERBS[verb][1]:
            holds = extras.OF_AN_OPTION.get(package, extra)
            assert _distributions(package) & _installed_by(holds), (package, extra)


def test_every_package_of_an_option_is_in_its_extra() -> None:
    for package, extra in extras.OF_AN_OPTION.items():
        assert _distributions(package) & _installed_by(extra)


def test_without_any_extra_every_verb_says_what_to_install() -> None:
    needed = _needed()
    blocked = sorted(set.union(*needed.values()))
    for verb, (status, said) in zip(
        cli.VERBS, _attempts((verb, blocked) for verb in cli.VERBS), strict=True
    ):
        if needed[verb] <= OPTIONAL:
            assert (status, said) == (0, ""), verb
            continue
        assert status == 1, (verb, said)
        _check_line(verb, said)


@pytest.mark.slow
def test_any_missing_package_is_one_line_that_names_its_extra() -> None:
    attempts = [(verb, [package]) for verb in cli.VERBS for package in sorted(_needed()[verb])]
    ended = _attempts(attempts, ahead=True)
    failed = set()
    for (verb, [package]), (status, said) in zip(attempts, ended, strict=True):
        assert status in (0, 1), (verb, package, said)
        if status:
            _check_line(verb, said)
            failed.add(package)
        else:
            assert not said, (verb, package, said)
    assert failed >= {"apache_beam", "torch", "soundfile", "jinja2", "duckdb", "uvicorn", "scipy"}


@pytest.mark.parametrize("extra", ["gcs", "s3"])
def test_a_store_whose_package_is_missing_names_its_extra(
    extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = {"gcs": "gs", "s3": "s3"}[extra]
    path = f"{name}://bucket/file"
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, name, raising=False)
    monkeypatch.setitem(sys.modules, f"{extra}fs", None)
    line = rf"needs {extra}fs: pip install 'stemlode\[{extra}\]'"
    with pytest.raises(OSError, match=line) as told:
        files.system(path)
    assert told.value.filename == path


def test_where_either_of_two_extras_will_do_both_are_named() -> None:
    said = extras.line("soundfile", cli.VERBS["verify"][1], "stemlode verify")
    assert said == (
        "stemlode verify needs soundfile: pip install 'stemlode[pipelines]' "
        "or pip install 'stemlode[train]'"
    )


def test_a_part_of_ours_that_is_missing_is_a_broken_installation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(cli.VERBS, "report", ("pipelines.none_of_ours", ["report"], "a page"))
    assert cli.main(["report"]) == 1
    told = capsys.readouterr().err
    assert "'pipelines.none_of_ours'" in told and "installation is broken" in told
    assert told.count("\n") == 1


def test_a_decoder_without_its_package_fails_the_run_and_rejects_no_file(tmp_path: Path) -> None:
    (tmp_path / "song.m4a").write_text("FFmpeg alone could tell what this is")
    code = (
        "import sys; sys.modules['av'] = None\n"
        "from stemlode.audio import decoding_process\n"
        "with open(sys.argv[1] + '.raw', 'wb') as file:\n"
        "    print(decoding_process._read(None, [file.fileno()], sys.argv[1], 8000, False))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "song.m4a")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "'failed': \"reading this file needs av: pip install 'stemlode[" in done.stdout
