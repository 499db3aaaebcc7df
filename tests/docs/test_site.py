"""The pages as a site."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

import stemlode
from tests.docs.commands import PROJECT

UNDESCRIBED = ("API_VERSION", "BadUsage", "Failed")  # said in the text
FETCHED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src")}


class Links(HTMLParser):
    """The addresses in a page, and those of them that a browser fetches by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.all.append(value)
                if (tag, name) in FETCHED:
                    self.fetched.append(value)


@pytest.mark.slow
def test_it_builds_without_a_network_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    without = {"http_proxy": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}
    done = subprocess.run(
        words,
        cwd=PROJECT,
        env={**os.environ, **without, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    python = (tmp_path / "python.html").read_text(encoding="utf-8")
    assert all(f'.{name}"' in python for name in stemlode.__all__ if name not in UNDESCRIBED)
    names = {page.name for page in pages}
    assert names >= {f"{page.stem}.html" for page in PROJECT.glob("docs/*.md")}
    for page in pages:
        links = Links()
        links.feed(page.read_text(encoding="utf-8"))
        assert not [link for link in links.fetched if re.match("(https?:)?//", link)], page.name
        for link in links.all:
            path = unquote(link.split("#")[0])
            if path and not re.match(r"\w+:|/", path):
                assert (page.parent / path).exists(), (page.name, link)
