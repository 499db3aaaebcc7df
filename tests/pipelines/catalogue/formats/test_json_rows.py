"""JSON: an object a line, or an array of any size, however it is written."""

import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.catalogue.formats import json_rows
from pipelines.catalogue.reading import Catalogue
from stemlode.runs import Failed

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(st.characters(exclude_categories=["Cs"]))
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("ab"), inner)),
    max_leaves=5,
)
objects = st.dictionaries(st.text("abc", min_size=1), values)


def read(path: Path) -> tuple[list[dict], list[tuple[str, str]]]:
    catalogue = Catalogue(str(path))
    batches = [
        b for part in catalogue.source.parts(str(path)) for b in catalogue.source.batches(part)
    ]
    rows = [row for b in batches for row in b.records(np.arange(len(b)))]
    return rows, [broken for b in batches for broken in b.broken]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entries=st.lists(
        st.one_of(st.dictionaries(st.text("abc", min_size=1), values), values), max_size=5
    ),
    indent=st.sampled_from([None, 0, 2, "\t"]),
    chunk=st.integers(1, 30),
    ascii_only=st.booleans(),
    around=st.sampled_from(["", "\n", "  \r\n"]),
)
def test_any_array_comes_back(
    tmp_path: Path, entries: list, indent: object, chunk: int, ascii_only: bool, around: str
) -> None:
    text = json.dumps(entries, indent=indent, ensure_ascii=ascii_only)
    (tmp_path / "c.json").write_text(around + text + around, newline="")
    with mock.patch.object(json_rows, "CHUNK", chunk):
        rows, broken = read(tmp_path / "c.json")
    assert rows == [entry for entry in entries if isinstance(entry, dict)]
    assert [json.loads(said) for said, _ in broken] == [
        e for e in entries if not isinstance(e, dict)
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"a": 1}, {"a": 2}', "entry 2 of the array"),
        ('[{"a": 1} {"a": 2}]', "entry 1 of the array: no comma after it"),
        ('[{"a": 1}, {"a": ]', "entry 2"),
        ('[{"a": 1}] [', "more after the array"),
        ('[{"a": 1},]', "entry 2"),
        ("[", "entry 1"),
        ("[" * 100_000, "entry 1"),
    ],
)
def test_an_array_that_is_none(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(Failed, match=rf"c\.json: cannot be read: .*{said}"):
        read(tmp_path / "c.json")


def test_an_empty_array_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(" [ \n ] ")
    assert read(tmp_path / "c.json") == ([], [])
    assert Catalogue(str(tmp_path)).parts()


def test_lines_as_before(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('\n\ufeff\n{"a": 1}\n\n[1]\n{half\n')
    rows, broken = read(tmp_path / "c.jsonl")
    assert rows == [{"a": 1}] and len(broken) == 3
