"""A web server on the loopback whose files can be had, or not, as a test says."""

import gzip
import http.server
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote


class Web:
    """Serves a folder. `faults` maps a file's name to what happens to who asks for it: a status,
    `reset`, `half` (the connection ends half-way), `gzip` (what comes is compressed), `unsaid` (how
    long it is), or a call that says so at each request; `moved`
    maps names to addresses elsewhere, `moved_on_get` those that show it only to who wants it."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder, self.port = folder, port
        self.faults: dict[str, Any] = {}
        self.moved: dict[str, str] = {}
        self.moved_on_get: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.server: http.server.ThreadingHTTPServer | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def up(self) -> None:
        """Listen, at the same port as before."""
        self.server = _Server(("127.0.0.1", self.port), _handler(self))
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        """Listen no more."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


class _Server(http.server.ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        pass


def _handler(web: Web) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = unquote(self.path.lstrip("/"))
            web.asked[name] += self.command == "GET"
            fault = web.faults.get(name)
            if isinstance(fault, Callable):
                fault = fault()
            if isinstance(fault, int):
                return self.send_error(fault)
            if fault == "reset":
                linger = struct.pack("ii", 1, 0)  # a close then is a reset
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.close_connection = True
                return self.connection.close()
            there = web.moved.get(name)
            if name in web.moved_on_get:
                there = web.moved_on_get[name] if self.command == "GET" else None
                name = name if there else "a.wav"
            if there:
                self.send_response(302)
                self.send_header("Location", there)
                self.end_headers()
                return None
            path = web.folder / name
            if not path.is_file():
                return self.send_error(404)
            data = path.read_bytes()
            self.send_response(200)
            if fault == "gzip":
                data = gzip.compress(data)
                self.send_header("Content-Encoding", "gzip")
            if fault != "unsaid":
                self.send_header("Content-Length", str(len(data)))
            self.send_header("Content-Type", "audio/x")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data[: len(data) // 2] if fault == "half" else data)
            self.close_connection = True
            return None

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving(folder: Path) -> Iterator[Web]:
    """A server of a folder's files, from now on."""
    web = Web(folder)
    web.up()
    try:
        yield web
    finally:
        web.down()
