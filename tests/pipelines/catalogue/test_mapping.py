"""--columns and --constant: any name of a column, and what all rows have."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.catalogue import tracks
from pipelines.catalogue.formats.dialect import Dialect
from pipelines.catalogue.mapping import COLUMNS, constants, mapping
from pipelines.catalogue.reading import Catalogue
from stemlode.runs import BadUsage


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("title=Track Name", {"title": "Track Name"}),
        (
            "title = Track Name , artist=Artist Name(s)",
            {"title": "Track Name", "artist": "Artist Name(s)"},
        ),
        ('title="Name, long",artist=b', {"title": "Name, long", "artist": "b"}),
        ("title=Name, long,artist=b", {"title": "Name, long", "artist": "b"}),
        ("artist=b,title=Name, long, really", {"artist": "b", "title": "Name, long, really"}),
        ('title=" padded "', {"title": " padded "}),
        ('title="a ""b"" c"', {"title": 'a "b" c'}),
        ("title=a=b", {"title": "a=b"}),
        ('title=say "it"', {"title": 'say "it"'}),
    ],
)
def test_names_with_commas_and_spaces(given: str, expected: dict[str, str]) -> None:
    assert mapping(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        "",
        "title",
        "title=",
        "=x",
        "titel=name",
        "title=a,,",
        "title=a,",
        'title="a',
        'title="a"b',
        ",",
    ],
)
def test_what_is_no_mapping(given: str) -> None:
    with pytest.raises(BadUsage, match="--columns"):
        mapping(given)


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@given(st.dictionaries(st.sampled_from(sorted({*COLUMNS} - {"duration_ms"})), names, min_size=1))
def test_any_name_can_be_quoted(wanted: dict[str, str]) -> None:
    quoted = {ours: '"' + name.replace('"', '""') + '"' for ours, name in wanted.items()}
    assert mapping(",".join(f"{ours}={name}" for ours, name in quoted.items())) == wanted


ROW = {"track_id": "1", "Track Name, long": "Song", "duration_s": "2.5"}


def write(path: Path, row: dict[str, str]) -> str:
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            writer.writeheader()
            writer.writerow(row)
    else:
        path.write_text(json.dumps(row) + "\n")
    return str(path)


@pytest.mark.parametrize("name", ["c.csv", "c.jsonl"])
def test_a_constant_is_a_column_of_all_rows(name: str, tmp_path: Path) -> None:
    dialect = Dialect(constant=["artist=Taylor Swift", "licence=a=b, c"])
    catalogue = Catalogue(write(tmp_path / name, ROW), 'title="Track Name, long"', dialect)
    (batch,) = catalogue.batches(catalogue.parts()[0])
    (row,) = tracks.table(batch, tracks.check(batch), np.array([0])).to_pylist()
    assert (row["artist"], row["licence"], row["title"]) == ("Taylor Swift", "a=b, c", "Song")
    assert row["extra"] is None


@pytest.mark.parametrize("name", ["c.csv", "c.jsonl"])
def test_a_constant_that_a_file_has(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, {**ROW, "artist": "A", "title": "x"})
    with pytest.raises(BadUsage, match=r"column artist is in the file, and so is --constant"):
        Catalogue(path, None, Dialect(constant=["artist=B"])).parts()


@pytest.mark.parametrize("columns", ["title=a,title=b", 'title=a,artist=b, title="a"'])
def test_a_column_that_is_mapped_twice(columns: str) -> None:
    with pytest.raises(BadUsage, match=r"--columns .*: title is given twice"):
        mapping(columns)


def test_a_missing_artist_says_that_a_constant_would_do(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", {**ROW, "title": "x"})
    with pytest.raises(BadUsage, match="--columns artist=NAME, or with --constant"):
        Catalogue(path).parts()


@pytest.mark.parametrize(
    "given", [["artist"], ["artist="], ["artst=x"], ["artist=a", "artist=b"], ["title=x"], ["=x"]]
)
def test_what_is_no_constant(given: list[str]) -> None:
    with pytest.raises(BadUsage, match="--constant"):
        constants(given, {"title": "name"})
