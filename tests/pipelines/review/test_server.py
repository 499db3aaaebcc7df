"""The review's server: nothing without the token, nothing but the sample, no harm from input."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.review import server
from tests.pipelines.report import folders
from tests.pipelines.review import folders as folders_module
from tests.pipelines.review.folders import Running, running

HOSTILE = [
    "<script>alert(1)</script>",
    "../../etc/passwd",
    '"><img src=x onerror=alert(1)>',
    "line one\nline two\r\x00\x1b[31m",
    "\u202egnp.exe\u2066",
    "{{ 7 * 7 }}{% raw %}",
]


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = folders_module.with_sound(tmp_path_factory.mktemp("server") / "pairs", 6)
    with running(folder) as found:
        yield found


def test_it_listens_on_the_loopback_alone(review: Running) -> None:
    listening = subprocess.run(
        ["cat", f"/proc/{review.process.pid}/net/tcp", f"/proc/{review.process.pid}/net/tcp6"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    if not listening:
        pytest.skip("no /proc to see sockets in")
    port = f":{review.port:04X} "
    found = {line.split()[1] for line in listening.splitlines() if port in line and " 0A " in line}
    assert found == {f"0100007F:{review.port:04X}"}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/state",
        "/pairs/0",
        "/wrong/",
        "/wrong/state",
        "//state",
        "/assets/style.css",
        "/..",
        "*",
    ],
)
def test_without_the_token_there_is_nothing(review: Running, path: str) -> None:
    assert review.ask(path, whole=True)[0] == 404
    longer = review.ask(f"/{review.token}x/state", whole=True)[0]
    shorter = review.ask(f"/{review.token[:-1]}/state", whole=True)[0]
    assert (longer, shorter) == (404, 404)
    assert review.ask("/judge", {"index": 0, "verdict": "pair"}, whole=True)[0] == 404
    assert review.json("state")["counts"] == {"pair": 0, "not_a_pair": 0, "unsure": 0}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:9999", 200),  # a tunnel's end
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:80", 403),
        ("", 403),
    ],
)
def test_only_our_own_name_is_answered_to(review: Running, host: str, status: int) -> None:
    assert review.ask("state", headers={"host": host})[0] == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_other_sites_cannot_judge(review: Running, headers: dict[str, str], status: int) -> None:
    body = {"index": 0, "verdict": "pair"}
    assert review.ask("judge", body, headers=headers)[0] == status
    assert review.json("state")["verdicts"][0] is None


@pytest.mark.parametrize(
    "path",
    [
        "pairs/6",
        "pairs/-1",
        "pairs/1e9",
        "pairs/99999999999999999999",
        "pairs/../../etc/passwd",
        "pairs/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "pairs/0/0/../../../etc/passwd",
        "pairs/0/0/voice.wav",
        "pairs/0/0/mixture.exe",
        "pairs/0/99999999/mixture.wav",
        "pairs/0/-1/mixture.wav",
        "assets/page.html",
        "assets/../review.py",
        "assets/..%2freview.py",
        "assets/%2fetc%2fpasswd",
        "docs",
        "openapi.json",
    ],
)
def test_nothing_but_the_sample_is_served(review: Running, path: str) -> None:
    status, _, data = review.ask(path)
    assert status == 404
    assert b"root:" not in data


def test_every_answer_forbids_what_the_page_does_not_need(review: Running) -> None:
    for path in ("", "state", "assets/review.js", "pairs/0/0/mixture.wav", "nothing"):
        _, headers, _ = review.ask(path)
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_the_page_asks_for_nothing_from_elsewhere(review: Running) -> None:
    for name in ("", *(f"assets/{name}" for name in server.ASSETS)):
        text = review.ask(name)[2].decode().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text
        assert "https:" not in text
        assert "//" not in text.replace("// ", "").replace("//\n", ""), name


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("judge", {"index": 0, "verdict": "perhaps"}, 422),
        ("judge", {"index": 0}, 422),
        ("judge", {"index": 6, "verdict": "pair"}, 404),
        ("judge", {"index": -1, "verdict": "pair"}, 404),
        ("judge", {"index": "0", "verdict": "pair"}, 404),
        ("judge", {"index": True, "verdict": "pair"}, 404),
        ("judge", {"verdict": "pair"}, 404),
        ("judge", b"[]", 400),
        ("judge", b"{", 400),
        ("judge", b"\xff", 400),
        ("judge", b"[" * 4000, 400),
        ("judge", b"x" * 5000, 413),
        ("undo", {"event": None}, 422),
        ("undo", {"event": 1e9}, 422),
        ("undo", {"event": 12345}, 409),
        ("use", {"low": 0.5, "high": 0.2, "criterion": "hand"}, 422),
        ("use", {"low": -1, "high": 0.2, "criterion": "hand"}, 422),
        ("use", b'{"low": NaN, "high": 1, "criterion": "hand"}', 422),
        ("use", b'{"low": 0, "high": 1e999, "criterion": "hand"}', 422),
        ("use", {"low": 0, "high": 10**3000, "criterion": "hand"}, 422),
        ("use", {"low": 0, "high": 1, "criterion": "../../x"}, 422),
        ("use", {"low": True, "high": True, "criterion": "hand"}, 422),
    ],
)
def test_nonsense_is_refused_and_nothing_is_written(
    review: Running, path: str, body: Any, status: int
) -> None:
    assert review.ask(path, body)[0] == status
    assert review.json("state")["counts"] == {"pair": 0, "not_a_pair": 0, "unsure": 0}


@pytest.mark.parametrize(
    "query", ["target=x&low=nan&high=inf", "current=-5", "current=%C2%B2", "chosen=<b>", "target=9"]
)
def test_nonsense_in_an_address_counts_as_not_said(review: Running, query: str) -> None:
    found = review.json(f"state?{query}")
    assert found["estimates"]["hand"] is None
    assert found["estimates"]["run"]["keeps"] == 4


def test_reading_does_not_write(review: Running) -> None:
    for path in ("judge", "undo", "use"):
        assert review.ask(path)[0] == 405
    assert review.ask("state", {"index": 0})[0] == 405


def test_sounds_and_pictures_are_those_of_the_pair(review: Running) -> None:
    facts = review.json("pairs/2/0")
    assert facts["errors"] == {"mixture": "", "instrumental": "", "difference": ""}
    for name in ("mixture", "instrumental", "difference"):
        status, headers, data = review.ask(f"pairs/2/0/{name}.wav")
        assert (status, headers["content-type"], data[:4]) == (200, "audio/wav", b"RIFF")
        status, headers, data = review.ask(f"pairs/2/0/{name}.png")
        assert (status, headers["content-type"], data[1:4]) == (200, "image/png", b"PNG")


@pytest.mark.slow
def test_two_tabs_at_once_lose_nothing_and_undo_only_what_they_saw(tmp_path: Path) -> None:
    folder = folders_module.with_sound(tmp_path / "pairs", 12)
    with running(folder) as review:

        def tab(indices: range) -> None:
            for index in indices:
                review.json("judge", {"index": index, "verdict": "pair"})

        tabs = [threading.Thread(target=tab, args=(range(i, 12, 2),)) for i in range(2)]
        for one in tabs:
            one.start()
        for one in tabs:
            one.join()
        state = review.json("state")
        assert state["verdicts"] == ["pair"] * 12
        assert state["next"] is None
        seen = state["undo"]["event"]
        review.json("judge", {"index": 3, "verdict": "unsure"})
        status, _, data = review.ask("undo", {"event": seen})
        assert (status, data) == (409, b"somebody else has judged meanwhile")
        assert review.json("state")["verdicts"][3] == "unsure"
    lines = folders_module.verdicts(tmp_path / "pairs-review" / "judgements.jsonl")
    assert len(lines) == 13


@pytest.mark.slow
def test_a_disk_that_takes_no_judgement_is_said(tmp_path: Path) -> None:
    folder = folders_module.with_sound(tmp_path / "pairs", 3)
    code = (
        "import resource, sys; from stemlode.cli import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "review", str(folder), "--no-browser"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        url = next(line for line in process.stdout if "http://" in line).strip()
        port, token = url.split("/")[2].split(":")[1], url.split("/")[3]
        review = Running(process, int(port), token, "")
        statuses = [review.ask("judge", {"index": i % 3, "verdict": "pair"})[0] for i in range(30)]
        assert statuses[0] == 200
        assert statuses[-1] == 507
        status, _, data = review.ask("judge", {"index": 0, "verdict": "unsure"})
        assert (status, data) == (507, b"not saved: File too large")
        standing = review.json("state")["counts"]["pair"]
    finally:
        process.kill()
        process.communicate()
    assert standing == 3


def test_hostile_titles_ids_and_paths_stay_text(tmp_path: Path) -> None:
    rows = []
    for text in HOSTILE:
        row = folders.pair(text, artist=text, mix=text, instrumental=f"/{text}", reason=text)
        rows.append(row | {"pair_id": text})
    with running(folders_module.scored(tmp_path / "pairs", rows)) as review:
        _, headers, page = review.ask("")
        assert headers["content-type"].startswith("text/html")
        assert not any(text.encode() in page for text in HOSTILE)
        for index in range(len(HOSTILE)):
            found = review.json(f"pairs/{index}")
            shown = found["title"] + found["artist"]
            assert not set(shown) & set("\n\r\x00\x1b\u202e\u2066")
            assert all(review.json(f"pairs/{index}/0")["errors"].values())
            assert review.ask(f"pairs/{index}/0/mixture.wav")[0] == 404
            state = review.json(f"judge?current={index}", {"index": index, "verdict": "pair"})
            shown = state["measured"]["reason"]
            assert shown and not set(shown) & set("\n\r\x00\x1b\u202e\u2066")
            assert "alert" not in state["histogram"]
        review.json("use", {"low": 0.1, "high": 0.9, "criterion": "hand"})
        assert review.end()[0] == 0
    lines = folders_module.verdicts(tmp_path / "pairs-review" / "judgements.jsonl")
    assert {line["pair_id"] for line in lines} == set(HOSTILE)
    assert json.loads((tmp_path / "pairs-review" / "thresholds.json").read_text())
    assert {path.name for path in tmp_path.iterdir()} == {"pairs", "pairs-review"}


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    folder = folders_module.scored(tmp_path / "pairs", [folders.pair("Song")])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "stemlode", "review", str(folder), "--port", port],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: --port {port}: Address already in use; choose another")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "pairs-review").exists()
