"""A corpus' card says what the corpus holds, and no name in it breaks out of its place."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlode.cards import readme
from stemlode.cards.facts import Amount, Facts
from tests.stemlode.cards import corpora

HOSTILE = (
    "a | b\n---\n`x` <script>alert(1)</script> [y](z) # \u202e \x00 \x7f\ud800 🎵" + "long" * 400
)
RECORD = {"verb": "corpus", "options": {}, "inputs": {}, "versions": {"stemlode": "0.1"}}


def _front(text: str) -> dict[str, Any]:
    _, front, _ = re.split(r"^---$", text, maxsplit=2, flags=re.MULTILINE)
    return yaml.safe_load(front)


def _facts(licences: dict[str, Amount], **others: Any) -> Facts:
    amount = Amount(2, 7_200_000_000)
    some = {"splits": {"train": amount}, "sources": {"vocals": amount}, "kinds": {"pair": amount}}
    more = {"songs": {"train": 1}, "shapes": {(8000, 1): amount}, "common": ("vocals",)}
    facts = {"record": RECORD, "outputs": {}, "licences": licences} | some | more
    return Facts(**(facts | others))


def test_it_says_what_the_index_holds(tmp_path: Path) -> None:
    some = corpora.rows(
        {"licence": "CC BY 4.0"},
        {"licence": "CC BY 4.0", "sources": ["mixture"], "kind": "pair"},
        {"licence": None, "split": "test", "song_id": "one"},
        {"licence": "", "split": "test", "song_id": "one", "channels": 1},
    )
    corpora.write(tmp_path / "corpus", some)
    text = (tmp_path / "corpus/README.md").read_text(encoding="utf-8")
    front = _front(text)
    assert {one["split"]: one["chunks"] for one in front["stemlode"]["splits"]} == {
        "train": 2,
        "test": 2,
    }
    licences = {one["licence"]: one["chunks"] for one in front["stemlode"]["licences"]}
    assert licences == {"": 2, "CC BY 4.0": 2} and "license" not in front
    assert {s["source"]: s["chunks"] for s in front["stemlode"]["sources"]} == {
        "mixture": 4,
        "vocals": 3,
    }
    assert front["stemlode"]["songs"] == 3 and front["stemlode"]["hours"] == pytest.approx(
        0.4 / 3600, 1e-2
    )
    (first, *_) = front["configs"]
    assert [one["split"] for one in first["data_files"]] == ["train", "test"]  # valid has no shard
    assert "| not stated | 2 |" in text and "| test | 1 | 2 |" in text
    assert str(tmp_path) not in text


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.characters(), max_size=30) | st.just(HOSTILE), max_size=3, unique=True))
def test_whatever_a_licence_is_called_it_stays_in_its_cell(names: list[str]) -> None:
    licences = {name: Amount(n, 0) for n, name in enumerate(names, 1)}
    text = readme.text(_facts(licences))
    held = _front(text)["stemlode"]["licences"]
    assert [one["chunks"] for one in held] == [*range(1, len(names) + 1)]
    _, _, cells = text.partition("| licence | chunks | hours |\n")
    table = cells.split("\n\n")[0].splitlines()
    assert len(table) == 1 + len(names)
    assert all(len(re.split(r"(?<!\\)(?:\\\\)*\|", line)) == 5 for line in table)
    assert "<script" not in text.partition("\n---\n")[2]
    text.encode()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["CC BY-NC-SA 4.0"], "cc-by-nc-sa-4.0"),
        (["cc0-1.0"], "cc0-1.0"),
        (["all rights reserved"], "other"),
        (["cc-by-4.0", "mit"], "other"),
        (["cc-by-4.0", ""], None),
        ([], None),
    ],
)
def test_the_hub_s_licence_is_one_that_holds_for_all(names: list[str], said: str | None) -> None:
    text = readme.text(_facts({name: Amount(1, 0) for name in names}))
    assert _front(text).get("license") == said


def test_no_path_of_an_option_is_told() -> None:
    options = {"teacher": "/home/somebody/secret/model", "on_windows": "C:\\Users\\me\\model"}
    text = readme.text(_facts({}, record=RECORD | {"options": options}))
    assert "| teacher | model |" in text and "| on\\_windows | model |" in text
    assert "secret" not in text and "Users" not in text
