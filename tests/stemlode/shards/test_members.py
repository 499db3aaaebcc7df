"""Files of a sample by their places in the index: wrong places do no harm."""

import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.samples import chunks
from stemlode.shards import parquet, reading, tar

RATE, FRAMES = 44_100, 200_000
NAMES = ("accompaniment", "mixture", "vocals")
FILES = [f"{name}.flac" for name in NAMES]
Row = dict[str, Any]


@pytest.fixture(params=["tar", "parquet"], scope="module")
def rows(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Index rows of two samples of a shard, with their folder and contents; nobody changes them."""
    tmp_path = tmp_path_factory.mktemp("shard")
    rng = np.random.default_rng(5)
    given = []
    for number in range(2):
        noise = rng.integers(-9000, 9000, (3, 2, FRAMES), np.int16)
        contents = {
            f"{n}.flac": chunks.flac(x, RATE) for n, x in zip(NAMES, noise, strict=True)
        } | {"json": b"{}"}
        row = {"sample_id": f"{number:032x}", "sample_rate": RATE, "channels": 2}
        row |= {"duration_s": FRAMES / RATE, "sha256": tar.hashes(contents)}
        given.append((row, contents))
    held = tar.write_part(str(tmp_path / "p.part"), given)
    assert held == tar.read_part(str(tmp_path / "p.part"))
    name = f"train/train-00000.{request.param}"
    path = str(tmp_path / name)
    if request.param == "tar":
        tar.write_shard(path, held)
        found = [*tar.rows(held, name)]
    else:
        parquet.write_shard(path, held, str(tmp_path / "note"))
        found = [*parquet.rows(path, held, name)]
    data = Path(path).read_bytes()
    for row, (_, contents) in zip(found, given, strict=True):
        for file, member in row["members"].items():
            at = member["offset"]
            assert data[at : at + member["size"]] == contents[file]
    return [
        {**row, "folder": str(tmp_path), "contents": contents}
        for row, (_, contents) in zip(found, given, strict=True)
    ]


def _part(row: Row, name: str = "vocals") -> bytes | None:
    found = reading.part(row["folder"], row, f"{name}.flac", 100_000, 30_000)
    return found[0] if found else None


def test_only_what_is_wanted_is_read(rows: list[Row], bytes_asked: list[int]) -> None:
    for row in rows:
        for wanted in (["vocals.flac"], ["mixture.flac", "vocals.flac"], FILES):
            bytes_asked.clear()
            found = reading.contents(row["folder"], row, wanted)
            assert found == {name: row["contents"][name] for name in wanted}
            if row["shard"].endswith(".tar"):  # side by side: one request
                around = 512 * (2 * len(wanted) + 1)
                assert len(bytes_asked) == 1
                assert 0 < bytes_asked[0] - sum(map(len, found.values())) < around
        bytes_asked.clear()
        assert _part(row) is not None
        piece = len(row["contents"]["vocals.flac"]) * 30_000 / FRAMES
        assert len(bytes_asked) == 1 and piece <= bytes_asked[0] < 2.6 * piece


def test_files_that_lie_apart_are_read_apart(rows: list[Row], bytes_asked: list[int]) -> None:
    row = rows[0]
    wanted = ["accompaniment.flac", "vocals.flac"]
    found = reading.contents(row["folder"], row, wanted)
    assert found == {name: row["contents"][name] for name in wanted}
    if row["shard"].endswith(".tar"):
        assert len(bytes_asked) == 2 and sum(bytes_asked) < 1.01 * sum(map(len, found.values()))


def _say(row: Row, **facts: Any) -> Row:
    row = copy.deepcopy(row)
    for name, value in facts.items():
        row["members"]["vocals.flac"][name] = value
    return row


@pytest.mark.parametrize(
    "facts",
    [
        {"offset": 0}, {"offset": -5}, {"offset": None}, {"offset": 1 << 62}, {"size": 0},
        {"size": -1}, {"size": 1 << 50}, {"size": None}, {"seek_step": 0}, {"seek_step": None},
        {"seek_step": -4}, {"seek_points": []}, {"seek_points": [5, 4, 3]},
        {"seek_points": [None]}, {"seek_points": [1 << 30] * 9}, {"seek_points": [86] * 99},
    ],
)  # fmt: skip
def test_wrong_places_do_no_harm(rows: list[Row], facts: dict[str, Any]) -> None:
    """A part is refused, or is what it should be; a whole file is read as of version 1."""
    row = _say(rows[1], **facts)
    assert _part(row) in (None, _part(rows[1]))
    found = reading.contents(row["folder"], row, ["vocals.flac"])
    assert found["vocals.flac"] == row["contents"]["vocals.flac"]
    missing = {**row, "members": None}
    assert _part(missing) is None
    assert reading.contents(row["folder"], missing, ["vocals.flac"]) == found


def test_what_lies_in_another_s_place_is_not_taken_for_it(rows: list[Row], tmp_path: Path) -> None:
    folder = shutil.copytree(rows[0]["folder"], tmp_path / "corpus")
    first, second = ({**row, "folder": str(folder)} for row in rows)
    moved = {**first, "members": second["members"]}
    assert reading.contents(first["folder"], moved, ["vocals.flac"]) == {
        "vocals.flac": first["contents"]["vocals.flac"]
    }
    path = Path(first["folder"], first["shard"])
    data = path.read_bytes()
    path.write_bytes(data[:1000])
    assert _part(second) is None
    with pytest.raises((ValueError, OSError), match=r"breaks off|[Cc]orrupt|damaged"):
        reading.contents(second["folder"], second, ["vocals.flac"])
    path.unlink()
    with pytest.raises(FileNotFoundError):
        _part(second)


def test_a_shard_that_is_there_already_is_looked_through_again(tmp_path: Path) -> None:
    contents = {"a.flac": b"x" * 99, "json": b"[]"}
    held = tar.write_part(
        str(tmp_path / "p.part"),
        [({"sample_id": "1", "sha256": {"a.flac": "", "json": ""}}, contents)],
    )
    path, note = str(tmp_path / "a.parquet"), str(tmp_path / "note")
    found = [
        (parquet.write_shard(path, held, note), [*parquet.rows(path, held, "a.parquet")])
        for _ in range(2)
    ]
    assert found[0] == found[1] and found[0][1][0]["members"]["a.flac"]["size"] == 99


def test_parts_of_an_earlier_version_have_no_members(tmp_path: Path) -> None:
    """A run that was begun before goes on, with an index of version 1 for what it had encoded."""
    path = str(tmp_path / "p.part")
    (sample,) = tar.write_part(path, [({"sample_id": "1"}, {"json": b"[]"})])
    (listed := Path(f"{path}.json")).write_text(
        listed.read_text().replace(f', "members": {_members(listed)}', "")
    )
    (old,) = tar.read_part(path) or []
    assert not old.members and sample.members
    assert [row["members"] for row in tar.rows([old], "train/train-00000.tar")] == [None]


def _members(listed: Path) -> str:
    text = listed.read_text()
    return text[text.index('"members": ') + len('"members": ') : text.rindex("}]")]
