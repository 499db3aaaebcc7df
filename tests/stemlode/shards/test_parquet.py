"""Parquet shards: the same samples as in tars, opened by public tools, whole or not there."""

import contextlib
import hashlib
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from stemlode import files
from stemlode.runs import Failed
from stemlode.shards import parquet, tar
from stemlode.shards.tar import Sample


def _contents(number: int, size: int = 400) -> dict[str, bytes]:
    noise = hashlib.shake_256(b"%d" % number).digest(size)
    found = {"json": b'{"number": %d, "title": "\xc3\xa4"}' % number, "mixture.flac": noise}
    return found | ({"vocals.flac": noise[::-1]} if number % 3 else {})


def _samples(folder: Path, count: int = 10, size: int = 400) -> list[Sample]:
    rows = []
    for number in range(count):
        contents = _contents(number, size)
        row = {"sample_id": f"{number:032x}", "sha256": tar.hashes(contents)}
        rows.append((row, contents))
    return tar.write_part(str(folder / "song.part"), rows)


def _write(folder: Path, samples: list[Sample], name: str = "a.parquet") -> str:
    return parquet.write_shard(str(folder / name), samples, str(folder / f"{name}.json"))


def test_public_tools_read_what_was_written(tmp_path: Path) -> None:
    sha256 = _write(tmp_path, _samples(tmp_path))
    path = tmp_path / "a.parquet"
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    expected = {f"{n:032x}": _contents(n) for n in range(10)}
    table = pyarrow.dataset.dataset(path).to_table()
    assert table["sample_id"].to_pylist() == sorted(expected)
    rows = duckdb.sql(f"SELECT * FROM read_parquet('{path}')").fetchall()
    names = table.schema.names
    for row in [*map(tuple, (r.values() for r in table.to_pylist())), *rows]:
        held = dict(zip(names, row, strict=True))
        sample_id = held.pop("sample_id")
        held["json"] = held["json"].encode()
        assert {k: v for k, v in held.items() if v is not None} == expected[sample_id]
    assert [row.pop("sample_id").decode() for row in parquet.read(str(path))] == sorted(expected)


def test_row_groups_are_bounded_in_bytes(tmp_path: Path) -> None:
    size = parquet.GROUP_BYTES // 5
    samples = _samples(tmp_path, count=23, size=size)
    _write(tmp_path, samples)
    metadata = pq.ParquetFile(tmp_path / "a.parquet").metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    largest = max(sample.size for sample in samples)
    assert len(groups) > 5 and sum(group.num_rows for group in groups) == 23
    for group in groups:
        assert group.total_byte_size < parquet.GROUP_BYTES + largest + 4096


def test_the_same_samples_give_the_same_bytes_and_are_not_written_again(tmp_path: Path) -> None:
    samples = _samples(tmp_path)
    first, again = _write(tmp_path, samples), _write(tmp_path, samples, "b.parquet")
    assert first == again
    before = (tmp_path / "a.parquet").stat()
    for part in tmp_path.glob("*.part"):
        part.unlink()
    assert _write(tmp_path, samples) == first
    after = (tmp_path / "a.parquet").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("position", [0, 5, 700, 4000, -5, -1])
def test_a_flipped_byte_is_seen_and_mended(tmp_path: Path, position: int) -> None:
    samples = _samples(tmp_path)
    _write(tmp_path, samples)
    path = tmp_path / "a.parquet"
    good = path.read_bytes()
    bad = bytearray(good)
    bad[position] ^= 1
    path.write_bytes(bad)
    _write(tmp_path, samples)
    assert path.read_bytes() == good


def test_a_damaged_part_is_named_and_made_anew(tmp_path: Path) -> None:
    samples = _samples(tmp_path)
    part = tmp_path / "song.part"
    data = bytearray(part.read_bytes())
    data[900] ^= 1
    part.write_bytes(data)
    with pytest.raises(Failed, match=r"song\.part: damaged; run again"):
        _write(tmp_path, samples)
    assert not list(tmp_path.glob("a.parquet*")) and tar.read_part(str(part)) is None


def test_what_reads_back_differently_gets_no_final_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = _samples(tmp_path)
    holds = parquet._holds

    def after_a_flip(path: str, samples: list[Sample]) -> bool:
        data = bytearray(Path(path).read_bytes())
        data[1000] ^= 1
        Path(path).write_bytes(data)
        return holds(path, samples)

    monkeypatch.setattr(parquet, "_holds", after_a_flip)
    with pytest.raises(Failed, match="reads back differently"):
        _write(tmp_path, samples)
    assert not list(tmp_path.glob("a.parquet*"))
    assert not list(tmp_path.glob(f"*{files.TEMPORARY}"))


def test_a_column_s_name_that_is_no_text_is_damage(tmp_path: Path) -> None:
    """Each byte of every name in the footer, wherever Arrow decodes it."""
    path = tmp_path / "shard.parquet"
    pq.write_table(pa.table({"sample_id": ["a"], "mixture.flac": [b"x" * 9]}), path)
    data = path.read_bytes()
    footer, at = len(data) - 8 - int.from_bytes(data[-8:-4], "little"), 0
    places = []
    while (at := data.find(b"mixture", max(footer, at + 1))) > 0:
        places += range(at, at + 7)
    assert len(places) >= 14
    for place in places:
        path.write_bytes(data[:place] + bytes([data[place] ^ 128]) + data[place + 1 :])
        with contextlib.suppress(OSError, pa.ArrowException):
            list(parquet.read(str(path)))
