"""A BigQuery server on this machine, for the official client over HTTP."""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from google.cloud import bigquery

SERVER = Path(__file__).resolve().parent.parent / ".venv-bigquery"
START_S = 600


@pytest.fixture(scope="session")
def bigquery_client(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[bigquery.Client]":
    """A client of an empty server, project `local`, that has a data set `ds`."""
    program = SERVER / "bin" / "bqemulator"
    if not program.exists():
        missing = "no BigQuery server to test with (make .venv-bigquery)"
        if os.environ.get("STEMLODE_TEST_DATA_REQUIRED"):
            pytest.fail(missing)
        pytest.skip(missing)
    rest, grpc = _free_ports()
    log = tmp_path_factory.mktemp("bigquery") / "server.log"
    endpoint = f"http://127.0.0.1:{rest}"
    command = [program, "start", f"--rest-port={rest}", f"--grpc-port={grpc}", "--project=local"]
    with log.open("wb") as file:
        environment = {**os.environ, "HOME": str(SERVER)}  # where its DuckDB finds its extension
        server = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment, cwd=log.parent
        )
    try:
        _wait(endpoint, server)
        assert server.poll() is None, log.read_text()[-2000:]
        from sql import on_bigquery

        found = on_bigquery.connect("local", endpoint)
        found.create_dataset("ds")
        yield found
        found.close()
    finally:
        server.terminate()
        server.wait()


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _wait(endpoint: str, server: subprocess.Popen) -> None:
    """Until the server answers, whatever it says, or is gone."""
    deadline = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{endpoint}/bigquery/v2/projects", timeout=60).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
        else:
            return
