"""Files of lines in spans: cut anywhere, they give the rows of the whole, in order."""

import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.catalogue.formats import spans
from pipelines.catalogue.reading import Catalogue
from pipelines.match import command
from stemlode import runs
from stemlode.runs import BadUsage

ROW = {"track_id": "1", "title": "A", "artist": "B", "duration_s": 1.0}
lines = st.one_of(
    st.just(json.dumps(ROW)),
    st.sampled_from(["", "[1]", "{", "\ufeff{}", " {}", "\ufeff", "[", "null"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=20),
)


def _read(path: Path) -> tuple[list[dict], list[tuple[str, str]], int]:
    catalogue = Catalogue(str(path))
    parts = catalogue.source.parts(str(path))
    batches = [batch for part in parts for batch in catalogue.source.batches(part)]
    rows = [row for batch in batches for row in batch.records(np.arange(len(batch)))]
    return rows, [broken for batch in batches for broken in batch.broken], len(parts)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.tuples(st.sampled_from(["\n", "\r\n"]), st.lists(lines, max_size=12)).map(
        lambda drawn: drawn[0].join(drawn[1])
    ),
    size=st.integers(1, 40),
    ends=st.sampled_from(["", "\n", "\r\n"]),
)
def test_any_cut_gives_the_rows_of_the_whole(
    text: str, size: int, ends: str, tmp_path: Path
) -> None:
    path = tmp_path / "catalogue.jsonl"
    path.write_bytes(f"{json.dumps(ROW)}\n{text}{ends}".encode())
    whole = _read(path)
    assert whole[2] == 1
    with mock.patch.object(spans, "SPAN_BYTES", size):
        cut = _read(path)
    assert cut[:2] == whole[:2]


def _catalogue(path: Path, rows: int, last: str = "") -> Path:
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            title = "Song (Instrumental)" if number % 2 else "Song"
            row = {"track_id": f"t{number}", "title": title, "artist": f"A{number // 2}"}
            file.write(json.dumps({**row, "duration_s": 200}) + "\n")
        file.write(last)
    return path


@pytest.mark.slow
def test_many_parts_match_to_the_bytes_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _catalogue(tmp_path / "c.jsonl", 60)
    words = ["--catalog", str(path), "--engine", "beam"]
    assert command.main([*words, "--output", str(tmp_path / "one")]) == 0
    monkeypatch.setattr(spans, "SPAN_BYTES", 700)
    assert len(Catalogue(str(path)).parts()) > 5
    assert command.main([*words, "--output", str(tmp_path / "many")]) == 0
    one, many = (runs.record(str(tmp_path / name)) for name in ("one", "many"))
    assert one["outputs"] == many["outputs"] and one["counts"]["candidates"] == 30


def test_what_is_wrong_in_a_span_is_named_by_its_line_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _catalogue(tmp_path / "c.jsonl", 60)
    path.write_bytes(path.read_bytes() + b'{"title": "\xff"}\n')
    monkeypatch.setattr(spans, "SPAN_BYTES", 700)
    with pytest.raises(BadUsage, match=r"c\.jsonl: line 61: .*is not UTF-8"):
        _read(path)
    wrong = _catalogue(tmp_path / "d.jsonl", 60, json.dumps({**ROW, "recording_id": 1e16}))
    catalogue = Catalogue(str(wrong))
    last = catalogue.parts()[-1]
    [batch] = catalogue.batches(last)
    assert batch._number(len(batch) - 1) == 61


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("c.json", b'[{"track_id": "1"},\n{"track_id": "2"}]'),
        ("c.csv", b"track_id,title,artist,duration_s\n" + b"1,A,B,1\n" * 20),
    ],
)
def test_what_cannot_be_cut_is_read_by_one_and_that_is_said(
    name: str, data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    monkeypatch.setattr(spans, "SPAN_BYTES", 10)
    catalogue = Catalogue(str(path))
    parts = catalogue.source.parts(str(path))
    assert len(parts) == 1
    [line] = catalogue.alone(parts)
    assert line.startswith(f"{path}: one worker reads all of its 0.0 GB")
    monkeypatch.setattr(spans, "SPAN_BYTES", 1 << 27)
    assert catalogue.alone(parts) == []
