"""What a worker looks at before it begins: has it the packages that a run needs, the launcher's
versions, and the folders that are said to be shared? Free of Beam."""

import functools
import hashlib
import importlib
import importlib.metadata
import platform
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stemlode import extras, files
from stemlode.addresses.rules import scheme
from stemlode.cli import VERBS
from stemlode.runs import PLAN, Run, reason

PACKAGES = ("stemlode", "apache-beam")  # of which a worker has the launcher's versions
AUDIO = {"soundfile": "", "soxr": "", "av": ""}  # what decodes, of `options.Verb.imports`
_CLIENTS = {"gs": "gcsfs", "gcs": "gcsfs", "s3": "s3fs", "s3a": "s3fs"}


@dataclass(frozen=True)
class Needs:
    """What the workers of a run need. Small and picklable.

    Args:
        verb: the run's.
        modules: packages by what `import` calls them.
        versions: (distribution, version) as the launcher has them, and its Python.
        paths: (path, SHA-256, or "" where being there is enough) below the shared folders.
        root: the shared folders in words.
    """

    verb: str
    modules: tuple[str, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    paths: tuple[tuple[str, str], ...] = ()
    root: str = ""


def needs(
    run: Run, modules: Iterable[str], inputs: Mapping[str, str], roots: Iterable[str]
) -> Needs:
    """Of a run that its folder's plan is written of. `roots`: what workers see as we do."""
    wanted = dict.fromkeys(modules)
    for path in (run.output, *inputs.values()):
        found = scheme(path)
        if found is not None and found[1] in _CLIENTS:
            wanted[_CLIENTS[found[1]]] = None
    shared = [*roots]
    paths = [(root, "") for root in shared]
    below = [path for path in inputs.values() if scheme(path) is None] if shared else []
    paths += [(path, "") for path in below]
    if shared and scheme(run.output) is None:
        plan = run.path(PLAN)
        paths.append((plan, hashlib.sha256(files.read_bytes(plan)).hexdigest()))
    return Needs(run.verb, tuple(wanted), tuple(_versions()), tuple(paths), ", ".join(shared))


@functools.cache
def lacking(found: Needs) -> str | None:
    """What this worker lacks, in a line that names it; None where it has all. Looked at once."""
    who = f"worker {socket.gethostname()}"
    for module in found.modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            return without(found.verb, error.name or module, who)
        except Exception as error:  # a package whose own library is missing
            return f"{who}: cannot import {module}: {reason(error)}"
    here = dict(_versions())
    for package, version in found.versions:
        if here.get(package, version) != version:
            return (
                f"{who} has {package} {here[package]}, the launcher {version}: give both the same"
            )
    for path, sha256 in found.paths:
        try:
            same = files.exists(path) and (
                not sha256 or hashlib.sha256(files.read_bytes(path)).hexdigest() == sha256
            )
        except OSError:
            same = False
        if not same:
            return (
                f"{who} does not see --shared-path {found.root} as the launcher does: "
                f"{path} is not there, or is another file"
            )
    return None


def without(verb: str, module: str, who: str) -> str:
    """The line that says what to install where a module is missing."""
    if module.split(".", maxsplit=1)[0] in extras.OURS:
        return f"{who} has no Stemlode: install its wheel there with the extras of {verb}"
    known = VERBS.get(verb, ("", ["pipelines"], ""))[1]
    return extras.line(module, known, f"{who}: stemlode {verb}")


def _versions() -> Iterable[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    yield "Python", ".".join(platform.python_version_tuple()[:2])
    yield "Stemlode's code", _code()


@functools.cache
def _code() -> str:
    """A hash of our sources: a version number does not change with every change of them."""
    hasher, root = hashlib.sha256(), Path(__file__).parents[2]
    for path in sorted(path for room in extras.OURS for path in (root / room).rglob("*.py")):
        hasher.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return hasher.hexdigest()[:12]
