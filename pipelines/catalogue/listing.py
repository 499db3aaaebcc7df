"""Which files a catalogue is made of. Free of Beam."""

from pathlib import PurePosixPath

from fsspec.core import url_to_fs

from pipelines.catalogue.sources.files import Files
from stemlode import files, runs
from stemlode.runs import BadUsage


def tables_at(path: str, option: str, source: Files) -> list[str]:
    """The tables at a path, below it or matching it as a glob; BadUsage where there are none."""
    if not runs.fingerprintable(path):
        raise BadUsage(f"{option} {path}: no such file or folder")
    found = [file for file in _files_at(path) if source.holds(file)]
    if not found:
        raise BadUsage(f"{option} {path}: no {source.wanted}")
    return found


def _files_at(path: str) -> list[str]:
    """A file itself, or the tables in a folder (a run's outputs but its rejects), or in a glob."""
    fs, name = url_to_fs(path)
    if fs.isfile(name):
        return [path]
    if not fs.isdir(name):
        found = sorted(str(entry) for entry in fs.glob(name) if fs.isfile(entry) or fs.isdir(entry))
        whole = found if files.is_local(path) else [fs.unstrip_protocol(entry) for entry in found]
        shown = [entry for entry in whole if _is_table(PurePosixPath(entry).name)]
        return [file for entry in shown for file in _files_at(entry)]
    if files.exists(files.join(path, runs.PLAN)):
        outputs = sorted(runs.record(path)["outputs"])
        return [files.join(path, below) for below in outputs if _is_table(below)]
    root = name.rstrip("/") + "/"
    listed = files.list_files(path, follow_links=True)
    below = [(found, url_to_fs(found)[1].removeprefix(root)) for found in listed]
    return [found for found, relative in below if _is_table(relative)]


def _is_table(name: str) -> bool:
    hidden = any(part[0] in "._" for part in PurePosixPath(name).parts)
    return not hidden and not PurePosixPath(name).name.startswith(("rejects-", runs.RECORD))
