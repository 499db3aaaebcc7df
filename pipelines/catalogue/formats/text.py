"""Files of text, unpacked. Free of Beam."""

import contextlib
import csv
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO

import pyarrow as pa

from stemlode import files
from stemlode.runs import BadUsage, Failed, reason

CODECS = {".gz": "gzip", ".zst": "zstd"}
ARCHIVES = (".tar", ".tar.xz", ".tar.gz")  # of a MusicBrainz dump
DUMP = "mbdump/"  # its folder there
_DAMAGE = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    csv.Error,
    pa.ArrowException,
)


@contextlib.contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """What a file of text holds, unpacked."""
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
def naming(path: str) -> Iterator[None]:
    """Failed with the file's name for whatever is wrong with the file."""
    try:
        yield
    except _DAMAGE as error:
        raise Failed(f"{path}: cannot be read: {reason(error)}") from error


def _dumped(path: str, archive: tarfile.TarFile) -> IO[bytes]:
    """The objects in the archive of a MusicBrainz dump; archives may be large and are read once."""
    for member in archive:
        found = archive.extractfile(member) if DUMP in member.name else None
        if found is not None:
            return found
    raise BadUsage(f"{path}: is no MusicBrainz dump: it holds nothing in {DUMP}")
