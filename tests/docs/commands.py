"""The commands that README, CONTRIBUTING and the pages of docs/ tell a user to run."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{p.name}" for p in PROJECT.glob("docs/*.md")),
]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
ENDS = ("|", "&&", ">", "&")


@dataclass(frozen=True)
class Command:
    """A command of ours, as words, the page that names it, and whether it is told as a whole."""

    page: str
    words: tuple[str, ...]
    is_whole: bool

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def blocks(page: str) -> list[str]:
    """The shell commands of a page, a block each."""
    return BLOCK.findall((PROJECT / page).read_text(encoding="utf-8"))


def lines(block: str) -> Iterator[str]:
    """The commands of a block, without prompts and with lines that go on put together."""
    for line in block.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.removeprefix("$ ").strip()


def ours() -> Iterator[Command]:
    """Every command that begins with `stemlode VERB`, of blocks and of the text."""
    for page in PAGES:
        text = (PROJECT / page).read_text(encoding="utf-8")
        told = [(line, "…" not in line) for part in blocks(page) for line in lines(part)]
        named = SPAN.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        for line, is_whole in (*told, *((line, False) for line in named)):
            words = _words(line) if "stemlode " in line else []
            while words and re.fullmatch(r"\w+=.*", words[0]):  # a variable for this command alone
                words = words[1:]
            if words[:1] == ["stemlode"] and len(words) > 1:
                yield Command(page, tuple(words[1:]), is_whole)


def _words(line: str) -> list[str]:
    words = shlex.split(line.replace("…", ""), comments=True)
    stop = next((place for place, word in enumerate(words) if word in ENDS), len(words))
    return words[:stop]
