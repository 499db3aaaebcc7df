"""Verify on salience: whole folders pass, and what is done to one is found and named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.verify import command
from stemlode import cli, files
from stemlode.tables import Row
from tests.pipelines.salience import sung


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The salience of two songs; a third one is silent."""
    root = tmp_path_factory.mktemp("verified")
    corpus = sung.corpus(sung.stems(root / "stems"), root / "corpus")
    argv = ["salience", "--corpus", str(corpus), "--output", str(root / "salience")]
    assert cli.main(argv) == 0
    return root / "salience"


@pytest.fixture
def damaged(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "salience"))


def _wrong(folder: Path) -> list[str]:
    return command.check(str(folder))[0]


def _rewrite(folder: Path, change: Callable[[Row], None]) -> None:
    """Change the first row of the table, and the record with it, so that only its content is
    wrong."""
    (path,) = folder.glob("salience-*.parquet")
    table = pq.ParquetFile(path).read()
    rows = table.to_pylist(maps_as_pydicts="strict")
    change(rows[0])
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path, compression="zstd")
    record = json.loads((folder / "run.json").read_text())
    record["outputs"][path.name] = files.sha256(str(path))
    (folder / "run.json").write_text(json.dumps(record))


def test_whole_salience_passes(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(whole)]) == 0
    said = capsys.readouterr().out
    assert f"{whole} is whole: 6 samples of 2 songs" in said
    assert said.strip().endswith("frames")


@pytest.mark.parametrize("where", [0.1, 0.5, 0.9])
def test_a_flipped_bit_is_found(damaged: Path, where: float) -> None:
    for path in sorted(damaged.glob("*/*.tar")):
        data = bytearray(path.read_bytes())
        data[int(where * len(data))] ^= 4
        path.write_bytes(data)
        assert any(line.startswith(f"{path.parent.name}/{path.name}: ") for line in _wrong(damaged))


def test_a_shard_that_is_missing_or_cut_is_named(damaged: Path) -> None:
    first, *_ = sorted(damaged.glob("*/*.tar"))
    name = f"{first.parent.name}/{first.name}"
    first.write_bytes(first.read_bytes()[:-2000])
    assert any(line.startswith(name) for line in _wrong(damaged))
    first.unlink()
    assert any(line.startswith(f"{name}: cannot be read") for line in _wrong(damaged))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"first_frame": 7}, "in the table"),
        ({"voiced": 0.123}, "of its frames are voiced, and 0.123000 in the table"),
        ({"teacher": "deep-salience"}, "salience: teacher is deep-salience in some rows"),
        ({"offset": 512}, "begins at byte 512"),
        ({"shard": "train/train-00009.tar"}, "does not know it"),
        ({"frames": 1}, "run.json: frames is"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "".join(value),
)
def test_a_table_that_says_something_else_is_found(damaged: Path, change: Row, said: str) -> None:
    _rewrite(damaged, lambda row: row.update(change))
    assert any(said in line for line in _wrong(damaged)), _wrong(damaged)


def test_the_command_exits_1(damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (damaged / "stray").write_text("none of ours")
    assert cli.main(["verify", str(damaged)]) == 1
    assert "stray: not in run.json" in capsys.readouterr().err
