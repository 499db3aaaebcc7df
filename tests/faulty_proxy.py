"""A proxy before a store on the loopback, which makes of some requests what a bad night makes."""

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

STATUSES = ("429", "500", "503")
# A request that is never answered; one whose connection is reset before, or after, the store did
# what it asks for; an answer that breaks off.
SOCKETS = ("time-out", "reset", "lost", "cut")
FAULTS = (*STATUSES, *SOCKETS)
HANGS_S = 20.0  # longer than the clients of a test wait
Answer = tuple[int, list[tuple[str, str]], bytes]  # status, headers, body
_HOP = ("connection", "transfer-encoding", "keep-alive", "content-length", "host")


class Proxy(ThreadingHTTPServer):
    """Hands requests on to `store`, but for a share `rate` of them."""

    daemon_threads = True

    def __init__(
        self,
        store: str,
        rate: float,
        faults: tuple[str, ...] = FAULTS,
        seed: int = 0,
        time_outs: float = 1.0,  # for each fault of another kind
    ):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.store, self.rate, self.faults = urlsplit(store).netloc, rate, faults
        self.weights = [time_outs if fault == "time-out" else 1.0 for fault in faults]
        self.draw, self.lock = random.Random(seed), threading.Lock()
        self.done: Counter[str] = Counter()  # faults, and what was left "whole"
        self.uploads: dict[str, Answer] = {}  # that are finished

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fault(self) -> str | None:
        """What to make of the next request."""
        with self.lock:
            [found] = self.draw.choices(self.faults, self.weights)
            found = found if self.draw.random() < self.rate else None
            self.done[found or "whole"] += 1
        return found

    def handle_error(self, *_: Any) -> None:
        """Connections end as they like here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for its headers to be acknowledged
    server: Proxy

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65_537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self._body()
        fault = self.server.fault()
        if fault in STATUSES:
            self._answer(int(fault), [("Content-Type", "application/xml")], self._said(fault))
        elif fault == "reset":
            self._reset()
        elif fault == "time-out":
            time.sleep(HANGS_S)
            self._reset()
        else:
            self._hand_on(body, fault)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            if self.headers.get("Expect", "").lower() == "100-continue":
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _hand_on(self, body: bytes, fault: str | None) -> None:
        status, headers, data = self.server.uploads.get(self.path) or self._ask(body)
        # Google answers again for an upload that is finished; the emulator has forgotten it.
        if "upload_id=" in self.path and status in (200, 201):
            self.server.uploads[self.path] = status, headers, data
        if fault == "lost":
            self._reset()
            return
        length = next((value for name, value in headers if name.lower() == "content-length"), "0")
        headers = [(name, value) for name, value in headers if name.lower() not in _HOP]
        if self.command == "HEAD":
            self._answer(status, headers, b"", length=int(length))
        else:
            self._answer(status, headers, data, cut=fault == "cut")

    def _ask(self, body: bytes) -> Answer:
        """What the store itself answers; addresses in its headers lead here."""
        store = http.client.HTTPConnection(self.server.store, timeout=60)
        sent = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        # Signatures cover the host, so the store is told the one that the client knows.
        sent["Host"] = self.headers["Host"]
        if body or self.command in ("PUT", "POST"):
            sent["Content-Length"] = str(len(body))
        try:
            store.request(self.command, self.path, body or None, sent)
            answer = store.getresponse()
            data = answer.read()
        finally:
            store.close()
        own = urlsplit(self.server.address).netloc
        headers = [
            (name, value.replace(self.server.store, own)) for name, value in answer.getheaders()
        ]
        return answer.status, headers, data

    def _answer(
        self,
        status: int,
        headers: list[tuple[str, str]],
        data: bytes,
        *,
        length: int | None = None,
        cut: bool = False,
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.wfile.flush()
        if cut:
            self._reset()

    def _said(self, status: str) -> bytes:
        return b"" if self.command == "HEAD" else f"<Error><Code>{status}</Code></Error>".encode()

    def _reset(self) -> None:
        """End the connection by RST in place of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


@contextmanager
def faulty(
    store: str, rate: float, faults: tuple[str, ...] = FAULTS, **options: Any
) -> Iterator[Proxy]:
    """A proxy before the store at an address; `options` are those of Proxy."""
    proxy = Proxy(store, rate, faults, **options)
    serving = threading.Thread(target=proxy.serve_forever, daemon=True)
    serving.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
