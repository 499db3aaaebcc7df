"""Shards, indexes and records that somebody else made: they open nothing outside of the corpus."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from stemlode import files, runs
from stemlode.runs import Failed
from stemlode.shards import reading, tar
from tests.stemlode.shards.test_tar import _contents

OUTSIDE = ["../secret.tar", "/etc/passwd", "train/../../secret.tar", "file:///etc/passwd", ""]
OUTSIDE += ["http://127.0.0.1/x.tar", "a\0b", "train//x.tar", ".", "..\\secret.tar"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A shard, and another one beside the corpus that it must not reach."""
    samples = tar.write_part(str(tmp_path / "p.part"), [({"sample_id": f"{1:032x}"}, _contents(1))])
    tar.write_shard(str(tmp_path / "secret.tar"), samples)
    tar.write_shard(str(tmp_path / "corpus" / "train" / "train-00000.tar"), samples)
    return tmp_path / "corpus"


def row(**facts: Any) -> dict[str, Any]:
    size = sum(map(len, (tar.entries(f"{1:032x}", _contents(1)),)))
    known = {"sample_id": f"{1:032x}", "shard": "train/train-00000.tar", "offset": 0, "size": size}
    return {**known, **facts}


def test_a_sample_is_read(corpus: Path) -> None:
    assert reading.contents(str(corpus), row(), ["json"]) == {"json": _contents(1)["json"]}


@pytest.mark.parametrize("shard", OUTSIDE)
def test_an_index_that_points_outside(shard: str, corpus: Path) -> None:
    with pytest.raises(ValueError, match="no place in a shard of the corpus"):
        reading.contents(str(corpus), row(shard=shard), ["json"])


@pytest.mark.parametrize("place", [{"offset": -512}, {"size": -1}, {"size": 1 << 50}])
def test_an_index_with_impossible_places(place: dict[str, int], corpus: Path) -> None:
    with pytest.raises(ValueError, match="no place in a shard of the corpus"):
        reading.contents(str(corpus), row(**place), ["json"])


def test_a_header_that_leads_back_to_itself_ends(corpus: Path) -> None:
    path = corpus / "train" / "train-00000.tar"
    data = bytearray(path.read_bytes())
    data[124:136] = b"-0000001000\0"  # so that the next header would be this one
    path.write_bytes(data)
    with pytest.raises(ValueError, match="another sample"):
        reading.contents(str(corpus), row(), ["json"])


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE]
)
def test_links_and_devices_in_a_shard_are_no_content(kind: bytes, tmp_path: Path) -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo(f"{1:032x}.json")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    path = tmp_path / "train" / "train-00000.tar"
    path.parent.mkdir()
    path.write_bytes(sink.getvalue())
    with pytest.raises(ValueError, match="lacks json"):
        reading.contents(str(tmp_path), row(size=512), ["json"])
    assert not any(tar.contents(sink.getvalue()).values())


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_record_that_names_files_outside(name: str, tmp_path: Path) -> None:
    (tmp_path / "_SUCCESS").touch()
    record = {"verb": "corpus", "outputs": {name: "0" * 64}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(Failed, match=r"run\.json: names .*, which is no file of its folder"):
        runs.record(str(tmp_path))


def test_names_below_a_folder() -> None:
    below = ["a", "train/train-00000.tar", "a..b/c", "ä ö/%2e%2e", "-x"]
    assert all(map(files.is_below, below)) and not any(map(files.is_below, OUTSIDE))
