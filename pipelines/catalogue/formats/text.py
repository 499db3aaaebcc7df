"""Files of text, unpacked, as UTF-8. Free of Beam."""

import contextlib
import csv
import functools
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import IO

import pyarrow as pa

from pipelines.catalogue.formats import encodings
from stemlode import files
from stemlode.runs import BadUsage, Failed, reason

CODECS = {".gz": "gzip", ".zst": "zstd"}
ARCHIVES = (".tar", ".tar.xz", ".tar.gz")  # of a MusicBrainz dump
DUMP = "mbdump/"  # its folder there
_BINARY = {  # by first bytes: what a file is that is no text, and what to do about it
    b"\x1f\x8b": "gzip; name it so that it ends in .gz",
    b"\x28\xb5\x2f\xfd": "zstd; name it so that it ends in .zst",
    b"PAR1": "Parquet; name it so that it ends in .parquet",
    b"PK\x03\x04": "a zip archive, as .xlsx files are; unpack it, or export it as CSV",
    b"\xfd7zXZ": "xz; unpack it",
    b"BZh": "bzip2; unpack it",
    b"SQLite format 3": "a database of SQLite; export its table as CSV",
}
Opening = Callable[[], contextlib.AbstractContextManager[IO[bytes]]]  # of what a file holds
_DAMAGE = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,  # a way of packing that zipfile does not know
    RuntimeError,  # an archive with a password
    csv.Error,
    pa.ArrowException,
    UnicodeDecodeError,  # in the names of Arrow's columns
)


@contextlib.contextmanager
def opened(
    path: str,
    encoding: str | None,
    row_of: Callable[[IO[str], int], str] = lambda _, line: "",
    opening: Opening | None = None,
    lines_before: Callable[[], int] = lambda: 0,
) -> Iterator[IO[bytes]]:
    """What a file of text holds, unpacked, as UTF-8 without a byte order mark.

    `encoding` is its own, strict UTF-8 where it is None. Raises NotText at the first byte that is
    none of it; there, `row_of` says of which row a line is, from all text. `opening` opens what is
    read where that is not simply the file, before which `lines_before` tells how many lines lie.
    """
    own = encoding or encodings.UTF_8
    unpacked = opening or functools.partial(_unpacked, path)
    try:
        with unpacked() as file:
            reader: io.RawIOBase = encodings.Utf8(file, own)
            yield io.BufferedReader(reader, encodings.CHUNK)
    except encodings.BadByte as error:
        with files.open_input(path) as file:
            first = file.read(max(map(len, _BINARY)))
        what = next((said for magic, said in _BINARY.items() if first.startswith(magic)), None)
        if what and opening is None and PurePosixPath(path.lower()).suffix not in CODECS:
            raise BadUsage(f"{path}: is no text but {what}") from error
        with unpacked() as file:
            number, sample = encodings.line_at(file, error.place, own)
            number += lines_before()
        with unpacked() as file:
            row = row_of(io.TextIOWrapper(file, own, errors="replace", newline=""), number)
        named = "UTF-8" if encoding is None else encoding
        likely = encodings.likely(sample)
        raise encodings.NotText(
            f"{path}: {row}line {number}: {error} is not {named}",
            likely,
            encodings.reading(sample, likely),
        ) from error


def is_packed(path: str) -> bool:
    """Whether a file is compressed or an archive, by its name."""
    name = path.lower()
    return name.endswith(ARCHIVES) or PurePosixPath(name).suffix in CODECS


@contextlib.contextmanager
def _unpacked(path: str) -> Iterator[IO[bytes]]:
    with files.open_input(path) as file:
        codec = CODECS.get(PurePosixPath(path.lower()).suffix)
        if path.lower().endswith(ARCHIVES):
            with tarfile.open(fileobj=file, mode="r|*") as archive:
                yield _dumped(path, archive)
        elif codec:
            yield io.BufferedReader(pa.CompressedInputStream(file, codec))
        else:
            yield file


@contextlib.contextmanager
def naming(
    path: str, mended: Callable[[encodings.NotText], str] = encodings.NotText.mended
) -> Iterator[None]:
    """Failed with the file's name for whatever is wrong with the file.

    BadUsage where its text has another encoding; `mended` says so, and what to type.
    """
    try:
        yield
    except encodings.NotText as error:
        raise BadUsage(mended(error)) from error
    except _DAMAGE as error:
        raise Failed(f"{path}: cannot be read: {reason(error)}") from error


def _dumped(path: str, archive: tarfile.TarFile) -> IO[bytes]:
    """The objects in the archive of a MusicBrainz dump; archives may be large and are read once."""
    for member in archive:
        found = archive.extractfile(member) if DUMP in member.name else None
        if found is not None:
            return found
    raise BadUsage(f"{path}: not a MusicBrainz dump: it holds nothing in {DUMP}")
