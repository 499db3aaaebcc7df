"""Servers that accept and never answer, or stop in the middle: one line, in the time one says."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec.config
import pytest

from stemlode import audio, cli, files
from stemlode.addresses import waiting
from stemlode.addresses.rules import Address, Rules
from stemlode.audio.decoding import Decoder
from tests.stores import Hurried

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nContent-Type: audio/x\r\n\r\nfLaC"


@pytest.fixture(params=[b"", ANSWER], ids=["silent", "stops"])
def mute(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server that takes every connection, and what a second of silence means."""
    monkeypatch.setenv(waiting.VARIABLE, "0.3")
    held = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:

        def serve() -> None:
            while True:
                try:
                    line, _ = server.accept()
                    held.append(line)
                    if request.param and line.recv(1 << 16).startswith(b"GET"):
                        line.sendall(request.param)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    for line in held:
        line.close()


def test_a_web_server_that_says_nothing_is_given_up(mute: int) -> None:
    uri = f"http://127.0.0.1:{mute}/a.flac"
    for address in (uri, Address(uri, Rules(allowed=(uri,)))):
        with pytest.raises(OSError, match=r"cannot be reached|input or output failed|imed out"):
            audio.probe(address)
    decoder = Decoder(8000)
    try:
        with pytest.raises(OSError, match=r"cannot be reached|reading broke off|no answer"):
            decoder.decode(uri)
    finally:
        decoder.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["s3", "gs"])
@pytest.mark.parametrize("mute", [b""], indirect=True)
def test_a_store_that_says_nothing_is_named(
    kind: str,
    mute: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if kind == "s3":
        pytest.importorskip("s3fs")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{mute}")
    else:
        pytest.importorskip("gcsfs")
        monkeypatch.setattr("gcsfs.retry.asyncio", Hurried)
        monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{mute}")
    monkeypatch.setattr(waiting, "NOTICE_S", 0.2)
    monkeypatch.setattr(waiting, "_last_notice", [-1e9])
    assert cli.main(["scan", f"{kind}://mute/music", "--output", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"waiting for {kind}://mute/music (")
    assert said[-1].startswith(f"error: {kind}://mute/music")
    assert f"no answer within 0.3 s ({waiting.VARIABLE} says how long to wait)" in said[-1]


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "nan", "inf"])
def test_what_is_no_time_is_the_usual_one(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(waiting.VARIABLE, text)
    assert waiting.silent_s() == waiting.SILENT_S


def test_local_paths_are_not_watched(tmp_path: Path) -> None:
    with waiting.asking(str(tmp_path)):
        assert not [t for t in threading.enumerate() if isinstance(t, threading.Timer)]
    assert files.exists(str(tmp_path))
