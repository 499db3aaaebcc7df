"""A hub of models on the loopback, as far as its clients ask: commits, and files by their hash."""

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Hub:
    """Repositories: owner/name → revision → commit, and commit → folder of files."""

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, str]] = {}
        self.folders: dict[str, Path] = {}
        self.asked: list[str] = []
        self.spoils = False  # whether files come damaged

    def publish(self, repo: str, folder: Path, commit: str, *revisions: str) -> None:
        """A folder as a commit, and as branches and tags."""
        self.folders[commit] = folder
        self.commits.setdefault(repo, {}).update(dict.fromkeys((commit, *revisions), commit))


@contextmanager
def serve() -> Iterator[tuple[Hub, str]]:
    """A hub, and its address."""
    hub = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.asked.append(self.path)
            parts = self.path.partition("?")[0].strip("/").split("/")
            if parts[:2] == ["api", "models"]:
                self._facts("/".join(parts[2:4]), "/".join(parts[5:]))
            else:
                self._file("/".join(parts[:2]), parts[3], parts[4:])

        do_HEAD = do_GET  # noqa: N815

        def _facts(self, repo: str, revision: str) -> None:
            commit = self._commit(repo, revision or "main")
            if commit:
                self._answer(json.dumps({"id": repo, "sha": commit}).encode())

        def _file(self, repo: str, revision: str, names: list[str]) -> None:
            commit = self._commit(repo, revision)
            if not commit:
                return
            path = hub.folders[commit].joinpath(*names)
            if not path.is_file():
                return self._missing("EntryNotFound")
            data = path.read_bytes()
            headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
            if hub.spoils:
                data = data[:-1] + bytes([data[-1] ^ 1])
            self._answer(data, **headers)

        def _commit(self, repo: str, revision: str) -> str | None:
            if repo not in hub.commits:
                return self._missing("RepoNotFound")
            if revision not in hub.commits[repo]:
                return self._missing("RevisionNotFound")
            return hub.commits[repo][revision]

        def _missing(self, why: str) -> None:
            self._answer(b"{}", 404, **{"X-Error-Code": why})

        def _answer(self, data: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
