"""Object stores on the loopback: S3 by moto's server, Google Cloud Storage by an emulator."""

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
        for _ in range(600):
            try:
                urllib.request.urlopen(address, timeout=5).close()
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


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty bucket, s3://bucket."""
    pytest.importorskip("moto")
    log = tmp_path_factory.mktemp("s3") / "log"
    facts = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    facts["AWS_DEFAULT_REGION"] = "us-east-1"
    with _serving(S3, log) as address, pytest.MonkeyPatch.context() as patch:
        for name, value in {**facts, "AWS_ENDPOINT_URL": address}.items():
            patch.setenv(name, value)
        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket"


@pytest.fixture(scope="session")
def gs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty bucket, gs://bucket."""
    pytest.importorskip("gcp_storage_emulator")
    gcsfs = pytest.importorskip("gcsfs")
    log = tmp_path_factory.mktemp("gs") / "log"
    with _serving(GCS, log) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", address)
        patch.setenv("FSSPEC_GS_TOKEN", "anon")  # for worker processes
        patch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
        # The emulator knows no moveTo, and gcsfs asks for minutes before it copies instead.
        patch.setattr(gcsfs.GCSFileSystem, "_mv_file", AsyncFileSystem._mv_file)
        yield "gs://bucket"


@pytest.fixture(params=["s3", "gs"])
def store(request: pytest.FixtureRequest) -> str:
    """Either bucket."""
    return request.getfixturevalue(request.param)
