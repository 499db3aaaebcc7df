"""Object stores on the loopback: S3 by moto's server, Google Cloud Storage by an emulator."""

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec.config
import pytest
from fsspec.asyn import AsyncFileSystem

# Else gcsfs, once imported, asks for a bucket's kind by gRPC, which no emulator speaks.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")

# Each serves until it is killed; the port comes as the first argument.
S3 = """
import sys
from moto.server import main
main(["-H", "127.0.0.1", "-p", sys.argv[1]])
"""
# moto asks for none, but takes an S3 request by this header.
UNSIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/s3/aws4_request"}
GCS = """
import sys
from gcp_storage_emulator.server import create_server
create_server("127.0.0.1", int(sys.argv[1]), in_memory=True, default_bucket="bucket").run()
"""


@contextmanager
def _serving(script: str, log: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("wb") as sink:
        server = subprocess.Popen(
            [sys.executable, "-c", script, str(port)], stdout=sink, stderr=sink
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(6000):
            try:
                urllib.request.urlopen(address, timeout=60).close()
                break
            except urllib.error.HTTPError:
                break  # it answers
            except OSError:
                assert server.poll() is None, log.read_text()
                time.sleep(0.1)
        yield address
    finally:
        server.kill()
        server.wait()


class Hurried:
    """In place of asyncio, for who pauses by it."""

    @staticmethod
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / 50)

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)


def hurry() -> None:
    """Have the clients of this process pause for a moment only before they try again, and rename
    as the emulator knows how to: it knows no moveTo, for which gcsfs asks for minutes."""
    import gcsfs
    import s3fs
    from gcsfs import retry

    retry.asyncio = s3fs.core.asyncio = Hurried()
    gcsfs.GCSFileSystem._mv_file = AsyncFileSystem._mv_file


@contextmanager
def served(kind: str, log: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a store, "s3" or "gs", and the environment in which it is found."""
    pytest.importorskip("moto" if kind == "s3" else "gcp_storage_emulator")
    with _serving(S3 if kind == "s3" else GCS, log) as address:
        if kind == "gs":
            # The token is for worker processes.
            yield address, {"STORAGE_EMULATOR_HOST": address, "FSSPEC_GS_TOKEN": "anon"}
            return
        facts = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        facts |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": address}
        # Without a client of this process, which would keep the address.
        asked = urllib.request.Request(f"{address}/bucket", method="PUT", headers=UNSIGNED)
        urllib.request.urlopen(asked, timeout=600).close()
        yield address, facts


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty bucket, s3://bucket."""
    log = tmp_path_factory.mktemp("s3") / "log"
    with served("s3", log) as (_, facts), pytest.MonkeyPatch.context() as patch:
        for name, value in facts.items():
            patch.setenv(name, value)
        yield "s3://bucket"


@pytest.fixture(scope="session")
def gs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty bucket, gs://bucket."""
    gcsfs = pytest.importorskip("gcsfs")
    log = tmp_path_factory.mktemp("gs") / "log"
    with served("gs", log) as (_, facts), pytest.MonkeyPatch.context() as patch:
        for name, value in facts.items():
            patch.setenv(name, value)
        patch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
        # The emulator knows no moveTo, and gcsfs asks for minutes before it copies instead.
        patch.setattr(gcsfs.GCSFileSystem, "_mv_file", AsyncFileSystem._mv_file)
        yield "gs://bucket"


@pytest.fixture(params=["s3", "gs"])
def store(request: pytest.FixtureRequest) -> str:
    """Either bucket."""
    return request.getfixturevalue(request.param)
