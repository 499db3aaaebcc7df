"""One file layer for local paths, gs:// and s3://, shared by Beam workers and training.

Writes are atomic: a temporary name next to the final one, then a rename, so that a crash never
leaves half a file under a final name. Free of Beam.
"""

import contextlib
import errno
import functools
import hashlib
import os
import re
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from stemlode import extras
from stemlode.addresses import waiting, web
from stemlode.addresses.rules import WEB, Address, refusal, scheme

TEMPORARY = ".tmp"  # every temporary file of ours ends with this
_P = ParamSpec("_P")
_T = TypeVar("_T")
_ENDLESS = (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK)
_OURS = re.compile(rf"(?:^|[./])[0-9a-f]{{32}}{re.escape(TEMPORARY)}$")


def _asking(call: Callable[_P, _T]) -> Callable[_P, _T]:
    """Of a function whose first argument is a path."""

    @functools.wraps(call)
    def asked(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with waiting.asking(str(args[0] if args else next(iter(kwargs.values())))):
            return call(*args, **kwargs)

    return asked


class BadAddress(ValueError):
    """A path with a scheme (`foo://…`) that nobody knows, or that is not written right."""


def system(path: str) -> tuple[AbstractFileSystem, str]:
    """The file system that a path lies on, and the path's name there.

    What does not begin with a scheme and "://" is a local path, whatever else is in it ("::", "~",
    "[x]*"). Raises BadAddress, or OSError where the package that knows the scheme is not installed.
    """
    if (found := scheme(path)) is not None:
        try:
            if found[1] in WEB and not found[0]:
                rules = path.rules if isinstance(path, Address) else None
                return web.system(rules), str(path)
            return url_to_fs(str(path), **({} if found[0] else waiting.options(found[1])))
        except ImportError as error:
            raise OSError(errno.EPROTONOSUPPORT, _needed(path, error), path) from error
        except (ValueError, TypeError) as error:
            raise BadAddress(f"{path}: {error}") from error
    return LocalFileSystem(), str(Path(path).absolute())


def _needed(path: str, error: ImportError) -> str:
    """What to install for paths of this scheme: our extra, or what fsspec says."""
    missing = getattr(error.__cause__, "name", None) or ""
    if missing in extras.OF_AN_OPTION:
        return extras.line(missing, [], f"{path.split('://', maxsplit=1)[0]}://")
    return str(error)


def is_local(path: str) -> bool:
    """Whether a path lies on this machine's own file system."""
    return isinstance(system(path)[0], LocalFileSystem)


def absolute(path: str) -> str:
    """A local path made absolute, since workers run in other folders; a remote one as it is.

    `..` is taken out, which otherwise hides that one folder lies in another.
    """
    if not is_local(path):
        return path.rstrip("/")
    name = system(path)[1]
    return str(Path(name).resolve()) if ".." in Path(name).parts else name


def join(folder: str, *names: str) -> str:
    """A path below a folder, local or remote."""
    return "/".join([folder.rstrip("/"), *names])


def is_below(name: str) -> bool:
    """Whether a name that data gives stays below the folder that it is joined to."""
    is_plain = "://" not in name and "\0" not in name and "\\" not in name
    return is_plain and not {"", ".", ".."} & {*name.split("/")}


@_asking
def exists(path: str) -> bool:
    """Whether a file or folder is there."""
    fs, name = system(path)
    return fs.exists(name)


@_asking
def is_file(path: str) -> bool:
    """Whether a path is that of a file; OSError where a store does not say."""
    fs, name = system(path)
    if is_local(path):
        return fs.isfile(name)
    try:
        return fs.info(name)["type"] == "file"  # `isfile` takes any failure for "no"
    except FileNotFoundError:
        return False


@_asking
def size(path: str) -> int:
    """A file's size in bytes."""
    fs, name = system(path)
    return int(fs.size(name))


@_asking
def open_input(path: str, *, in_order: bool = False, exact: bool = False) -> IO[bytes]:
    """A seekable binary reader; of a local file, as `open_local`.

    `in_order` promises not to seek: then a file of a web server comes in one answer, not in parts.
    `exact` asks a store for what is read and no more, each time anew.
    """
    fs, name = system(path)
    if isinstance(fs, LocalFileSystem):
        return open_local(name)
    options: dict[str, Any] = {"block_size": 0} if in_order and fs.protocol == WEB else {}
    return fs.open(name, "rb", **options, **({"cache_type": "none"} if exact else {}))


def open_local(name: str) -> IO[bytes]:
    """A local file, whatever its name. A pipe or device is an OSError: one could wait for ever."""
    if stat.S_IFMT(Path(name).stat().st_mode) in _ENDLESS:
        raise OSError(errno.EINVAL, "not a regular file", name)
    return Path(name).open("rb")


@_asking
def read_bytes(path: str) -> bytes:
    """A whole small file."""
    with open_input(path) as file:
        return file.read()


@_asking
def read_range(path: str, start: int, count: int) -> bytes:
    """`count` bytes of a file from `start` on, in one request; fewer where it ends before."""
    fs, name = system(path)
    if isinstance(fs, LocalFileSystem):
        with open_local(name) as file:
            file.seek(start)
            return file.read(count)
    return fs.cat_file(name, start=start, end=start + count)


@_asking
def list_files(
    folder: str,
    *,
    follow_links: bool = False,
    unreadable: Callable[[OSError], None] | None = None,
    leaving: Callable[[str], None] | None = None,
) -> list[str]:
    """Every file below a folder, sorted; empty where the folder does not exist.

    `follow_links` also looks into linked local folders, as inputs want; what is ours to remove is
    never found through a link. With it, `unreadable` is told of folders that cannot be looked into
    (`error.filename`), which otherwise count as empty, and `leaving` of links that lead out of the
    folder, which then are not followed.
    """
    fs, name = system(folder)
    if not fs.exists(name):
        return []
    if is_local(folder):
        return sorted(_linked(name, unreadable, leaving) if follow_links else fs.find(name))
    return sorted(fs.unstrip_protocol(found) for found in fs.find(name))


def _linked(
    folder: str,
    unreadable: Callable[[OSError], None] | None,
    leaving: Callable[[str], None] | None,
) -> list[str]:
    """The files below a local folder and its linked folders; a link to a folder above ends."""
    if not Path(folder).is_dir():
        return [folder]
    found = []
    for path, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        here = Path(path)
        above = {part.resolve() for part in (here, *here.parents)}
        folders[:] = [name for name in folders if (here / name).resolve() not in above]
        if leaving is not None:
            for held in (folders, names):
                for name in [name for name in held if _leaves(here / name, folder)]:
                    held.remove(name)
                    leaving(str(here / name))
        found += [str(here / name) for name in names]
    return found


def _leaves(path: Path, folder: str) -> bool:
    """Whether a path is a link out of a folder."""
    return path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(
        os.path.realpath(folder)
    )


@_asking
def stamps(path: str) -> list[list[str]]:
    """Name, size and time of change of every file at a path or below it, or that a glob matches.

    Tells whether an input has changed without reading it. Hashes stand in for times on S3. What is
    listed and yet not there (a link that leads nowhere) has neither. What a catalogue names and is
    refused is not looked at.
    """
    if refusal(path) is not None:
        return []
    fs, name = system(path)
    if fs.protocol == WEB:  # a page is no folder: `find` would read all of it for its links
        facts = [(name, info)] if (info := _info(fs, name)) else []
    else:
        found = list_files(path, follow_links=True) if is_local(path) else fs.find(name)
        found = found or fs.glob(name)
        facts = [(entry, _info(fs, entry)) for entry in sorted(map(str, found))]
    changed = ("mtime", "updated", "LastModified", "ETag", "etag")
    return [
        [entry, str(info.get("size")), str(next((info[k] for k in changed if k in info), ""))]
        for entry, info in facts
    ]


def _info(fs: AbstractFileSystem, name: str) -> dict[str, Any]:
    try:
        return fs.info(name)
    except OSError as error:
        if isinstance(error, FileNotFoundError) or error.errno == errno.ELOOP:
            return {}
        raise


@_asking
def sha256(path: str) -> str:
    """A file's SHA-256 in hex, read in blocks."""
    hasher = hashlib.sha256()
    with open_input(path) as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()


@contextlib.contextmanager
def atomic_write(path: str, check: Callable[[str], None] | None = None) -> Iterator[IO[bytes]]:
    """A binary writer whose content appears under `path` whole or not at all.

    `check` is called with the temporary file's path once that is closed, and may raise.
    """
    with waiting.asking(path, notice=False):
        fs, name = system(path)
        fs.makedirs(fs._parent(name), exist_ok=True)
        temporary = f"{name}.{uuid.uuid4().hex}{TEMPORARY}"
        try:
            with fs.open(temporary, "wb") as file:
                yield file
                size = None if file.closed else file.tell()
            if check is not None:
                check(temporary if is_local(path) else fs.unstrip_protocol(temporary))
            if is_local(path):
                Path(temporary).replace(name)  # fsspec would copy where a rename fails
            else:
                _move(fs, temporary, name, size)
        except BaseException:
            with contextlib.suppress(OSError):
                fs.rm(temporary)
            raise


def _move(fs: AbstractFileSystem, temporary: str, name: str, size: int | None) -> None:
    """Rename a file in a store.

    A client whose answer was lost asks again, and is told that there is no such file to rename.
    """
    try:
        fs.mv(temporary, name)
    except FileNotFoundError:
        fs.invalidate_cache()
        if fs.exists(temporary) or not fs.exists(name) or size not in (None, fs.size(name)):
            raise


def write_bytes(path: str, data: bytes) -> None:
    """A whole small file, atomically."""
    with atomic_write(path) as file:
        file.write(data)


@_asking
def remove(path: str) -> None:
    """A file or a folder with all it holds; nothing where it does not exist."""
    fs, name = system(path)
    with contextlib.suppress(FileNotFoundError):
        fs.rm(name, recursive=True)


def is_temporary(path: str) -> bool:
    """Whether a name is one that we give to half-written files, and nobody else."""
    return bool(_OURS.search(path))


def remove_temporaries(folder: str) -> None:
    """What a killed run left half-written below a folder."""
    for path in list_files(folder):
        if is_temporary(path):
            remove(path)


def remove_empty_folders(folder: str) -> None:
    """A local folder and those below it, as far as they hold no file; remote stores have none."""
    if is_local(folder):
        for path, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):
                Path(path).rmdir()
