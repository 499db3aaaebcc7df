"""Shards: the same samples give the same bytes, any reader opens them, no fault goes unseen."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from stemlode import files
from stemlode.runs import Failed
from stemlode.shards import tar as shards_tar
from stemlode.shards.tar import Sample

SIZES = st.lists(st.integers(1, 50), max_size=60)


def _contents(number: int) -> dict[str, bytes]:
    generator = hashlib.sha256(b"%d" % number)
    return {
        "json": b'{"number": %d}' % number,
        "mixture.flac": generator.digest() * (10 + 37 * number % 90),
        "accompaniment.flac": generator.digest()[::-1] * (number + 1),
    }


def _part(folder: Path, name: str, numbers: range) -> list[Sample]:
    rows = [({"sample_id": f"{n:032x}"}, _contents(n)) for n in numbers]
    return shards_tar.write_part(str(folder / f"{name}.part"), rows)


def _samples(folder: Path) -> list[Sample]:
    """Ten samples of two songs, in the order of a shard."""
    both = _part(folder, "even", range(0, 10, 2)) + _part(folder, "odd", range(1, 10, 2))
    return sorted(both, key=lambda sample: sample.row["sample_id"])


def _inodes(folder: Path) -> dict[str, tuple[int, int]]:
    found = {path: path.stat() for path in folder.rglob("*.tar")}
    return {path.name: (stat.st_ino, stat.st_mtime_ns) for path, stat in found.items()}


@given(SIZES, st.integers(1, 60))
def test_a_plan_bounds_shards_leaves_none_empty_and_no_gaps(sizes: list[int], limit: int) -> None:
    numbers = shards_tar.plan_shards(sizes, limit)
    ranks = [shards_tar.renumber(numbers)[number] for number in numbers]
    assert ranks == sorted(ranks) and len(ranks) == len(sizes)
    assert set(ranks) == set(range(len(set(ranks))))
    for rank in set(ranks):
        held = [size for size, where in zip(sizes, ranks, strict=True) if where == rank]
        assert sum(held[:-1]) < limit


@given(SIZES, st.integers(1, 60), st.integers(0, 60))
def test_a_plan_made_in_pieces_is_the_plan(sizes: list[int], limit: int, at: int) -> None:
    first, second = sizes[:at], sizes[at:]
    pieces = shards_tar.plan_shards(first, limit) + shards_tar.plan_shards(
        second, limit, sum(first)
    )
    assert pieces == shards_tar.plan_shards(sizes, limit)


def test_a_shard_lands_near_its_limit() -> None:
    numbers = shards_tar.plan_shards([100] * 1000, 1000)
    assert numbers == [n // 10 for n in range(1000)]


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_-]{0,31}\.flac", fullmatch=True), st.binary(max_size=2000)
    )
)
def test_entries_read_back_as_plain_ustar(contents: dict[str, bytes]) -> None:
    data = shards_tar.entries("f" * 32, contents)
    assert data == shards_tar.entries("f" * 32, dict(reversed(contents.items())))
    with tarfile.open(fileobj=io.BytesIO(data + shards_tar.END)) as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == sorted(f"{'f' * 32}.{n}" for n in contents)
        for member in members:
            assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
            assert (member.uname, member.gname, member.pax_headers) == ("", "", {})
            assert tar.extractfile(member).read() == contents[member.name.split(".", 1)[1]]  # type: ignore[union-attr]
    assert len(data) % 512 == 0


def test_webdataset_and_byte_ranges_read_what_was_written(tmp_path: Path) -> None:
    samples = _samples(tmp_path)
    path = tmp_path / "train" / "train-00000.tar"
    sha256 = shards_tar.write_shard(str(path), samples)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    read = list(webdataset.WebDataset(str(path), shardshuffle=False))
    assert [sample["__key__"] for sample in read] == [f"{n:032x}" for n in range(10)]
    for number, sample in enumerate(read):
        assert {k: v for k, v in sample.items() if not k.startswith("__")} == _contents(number)
    for number, offset in enumerate(shards_tar.offsets(samples)):
        piece = path.read_bytes()[offset : offset + samples[number].size]
        with tarfile.open(fileobj=io.BytesIO(piece)) as tar:
            names = [f"{number:032x}.{name}" for name in sorted(_contents(number))]
            assert tar.getnames() == names


def test_a_part_is_whole_or_not_there(tmp_path: Path) -> None:
    held = _part(tmp_path, "song", range(5))
    path = str(tmp_path / "song.part")
    assert shards_tar.read_part(path) == held
    (tmp_path / "song.part").write_bytes(b"cut")
    assert shards_tar.read_part(path) is None
    assert shards_tar.read_part(str(tmp_path / "other.part")) is None

    def breaks_off() -> object:
        yield {"sample_id": "0"}, _contents(0)
        raise ValueError("a bad song")

    with pytest.raises(ValueError, match="a bad song"):
        shards_tar.write_part(str(tmp_path / "bad.part"), breaks_off())  # type: ignore[arg-type]
    assert shards_tar.read_part(str(tmp_path / "bad.part")) is None
    assert not list(tmp_path.glob("bad*"))


def test_a_finished_shard_is_not_written_again(tmp_path: Path) -> None:
    samples = _samples(tmp_path)
    path = tmp_path / "a.tar"
    sha256 = shards_tar.write_shard(str(path), samples)
    before = _inodes(tmp_path)
    for part in tmp_path.glob("*.part"):
        part.unlink()
    assert shards_tar.write_shard(str(path), samples) == sha256
    assert _inodes(tmp_path) == before


@pytest.mark.parametrize("position", [0, 700, 5_000, -1])
def test_a_flipped_byte_in_a_shard_is_seen_and_mended(tmp_path: Path, position: int) -> None:
    samples = _samples(tmp_path)
    path = tmp_path / "a.tar"
    shards_tar.write_shard(str(path), samples)
    good = path.read_bytes()
    bad = bytearray(good)
    bad[position] ^= 1
    path.write_bytes(bad)
    assert shards_tar.finished_shard(str(path), samples) is None
    shards_tar.write_shard(str(path), samples)
    assert path.read_bytes() == good


@pytest.mark.parametrize("fault", ["flip", "cut", "gone"])
def test_a_damaged_part_is_named_and_made_anew(tmp_path: Path, fault: str) -> None:
    samples = _samples(tmp_path)
    part = tmp_path / "odd.part"
    data = bytearray(part.read_bytes())
    data[900] ^= 1
    if fault == "gone":
        part.unlink()
    else:
        part.write_bytes(data if fault == "flip" else data[:600])
    with pytest.raises(Failed, match=r"odd\.part: damaged; run again"):
        shards_tar.write_shard(str(tmp_path / "a.tar"), samples)
    assert not list(tmp_path.glob("a.tar*"))
    assert shards_tar.read_part(str(part)) is None  # so the next run encodes the song again


def test_a_failing_rename_leaves_nothing_behind(tmp_path: Path) -> None:
    samples = _samples(tmp_path)
    (tmp_path / "a.tar").mkdir()  # no file can be renamed to a folder's name
    with pytest.raises(OSError):
        shards_tar.write_shard(str(tmp_path / "a.tar"), samples)
    assert not list((tmp_path / "a.tar").iterdir())
    assert not list(tmp_path.glob(f"*{files.TEMPORARY}"))


def test_what_reads_back_differently_gets_no_final_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = _samples(tmp_path)
    check = shards_tar.finished_shard

    def after_a_flip(path: str, samples: list[Sample]) -> str | None:
        if path.endswith(files.TEMPORARY):
            data = bytearray(Path(path).read_bytes())
            data[1000] ^= 1
            Path(path).write_bytes(data)
        return check(path, samples)

    monkeypatch.setattr(shards_tar, "finished_shard", after_a_flip)
    with pytest.raises(Failed, match="reads back differently"):
        shards_tar.write_shard(str(tmp_path / "a.tar"), samples)
    assert not list(tmp_path.glob("a.tar*"))
