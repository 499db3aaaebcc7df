"""Corpora in object stores: the same bytes as on disk, resumed, verified and read from there."""

import shutil
import uuid
from pathlib import Path

import fsspec
import numpy as np
import pytest
import soundfile

from pipelines.verify import command
from stemlode import cli, files, retry, runs

pytestmark = pytest.mark.slow
RATE = 8000
OPTIONS = ["--sample-rate", "8000", "--channels", "1", "--chunk-seconds", "0.5"]
OPTIONS += ["--shard-bytes", "40kB", "--split", "train=0.6,valid=0.2,test=0.2"]
OPTIONS += ["--window-seconds", "0", "--fingerprints", "off"]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four songs in `stems`, the `corpus` of three of them, and that `grown` by the fourth."""
    root = tmp_path_factory.mktemp("remote")
    for song in range(4):
        for number, stem in enumerate(("vocals", "drums")):
            walk = np.random.default_rng(10 * song + number).integers(-9, 10, 7000).cumsum()
            path = root / f"stems/song {song}/{stem}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, (walk % 9000).astype(np.int16), RATE, subtype="PCM_16")
    shutil.copytree(root / "stems", root / "some")
    shutil.rmtree(root / "some" / "song 3")
    assert _run(root / "corpus", root / "some") == 0
    shutil.copytree(root / "corpus", root / "grown")
    assert _run(root / "grown", root / "stems", "--append") == 0
    return root


def _run(output: object, stems: object, *argv: str) -> int:
    return cli.main(["corpus", "--output", str(output), "--stems", str(stems), *OPTIONS, *argv])


def _put(folder: Path, address: str) -> str:
    for path in folder.rglob("*"):
        if path.is_file():
            files.write_bytes(f"{address}/{path.relative_to(folder)}", path.read_bytes())
    return address


@pytest.fixture
def bucket(store: str) -> str:
    """A folder of a store that nobody has used."""
    return f"{store}/{uuid.uuid4().hex}"


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
def test_a_corpus_in_a_store_has_the_bytes_of_one_on_disk(
    local: Path, bucket: str, tmp_path: Path, form: str
) -> None:
    stems, output = _put(local / "some", f"{bucket}/stems"), f"{bucket}/corpus"
    assert _run(output, stems, "--format", form) == 0
    assert _run(tmp_path / "corpus", local / "some", "--format", form) == 0
    record = runs.record(output)
    assert record["outputs"] == runs.record(str(tmp_path / "corpus"))["outputs"]
    wrong, counts = command.check(output, workers=2)
    assert wrong == [] and counts["songs"] == 3
    names = {path.removeprefix(f"{output}/") for path in files.list_files(output)}
    assert names == {"_PLAN.json", "_SUCCESS", "run.json", *record["outputs"]}
    assert _run(output, stems, "--format", form) == 0  # done before


def test_songs_are_added_in_a_store(local: Path, bucket: str) -> None:
    output = _put(local / "corpus", f"{bucket}/corpus")
    assert _run(output, _put(local / "stems", f"{bucket}/stems"), "--append") == 0
    assert runs.record(output)["outputs"] == runs.record(str(local / "grown"))["outputs"]
    assert command.check(output)[0] == []


@pytest.mark.parametrize("every", [1, 3])
def test_an_upload_that_was_cut_short_is_seen_and_made_good(
    local: Path, bucket: str, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    """A store that loses the end of shards. Of every third one: the next try makes it good.
    Of each one at every try: the run fails, and the next one makes it good."""
    monkeypatch.setattr(retry, "WAITS_S", (0.0, 0.0))
    stems, output = str(local / "some"), f"{bucket}/corpus"
    filesystem = type(fsspec.core.url_to_fs(output)[0])
    move, moved = filesystem.mv, [0]

    def truncating(self: object, source: str, target: str, **facts: object) -> object:
        found = move(self, source, target, **facts)
        if target.endswith(".tar"):
            moved[0] += 1
            if moved[0] % every == 0:
                address = f"{output.partition('://')[0]}://{target.partition('://')[2] or target}"
                fs, name = files.system(address)
                fs.pipe_file(name, fs.cat_file(name)[:-700])
                raise OSError(5, "connection lost")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(filesystem, "mv", truncating)
        assert _run(output, stems) == (1 if every == 1 else 0)
    assert files.exists(f"{output}/_SUCCESS") == (every != 1)
    assert _run(output, stems) == 0
    assert runs.record(output)["outputs"] == runs.record(str(local / "corpus"))["outputs"]
    assert command.check(output)[0] == []


def test_a_flipped_byte_in_a_store_is_found(local: Path, bucket: str) -> None:
    output = _put(local / "corpus", f"{bucket}/corpus")
    name = sorted(n for n in runs.record(output)["outputs"] if n.endswith(".tar"))[0]
    data = bytearray(files.read_bytes(f"{output}/{name}"))
    data[len(data) // 2] ^= 1
    files.write_bytes(f"{output}/{name}", bytes(data))
    wrong = command.check(output)[0]
    assert wrong and all(line.startswith(f"{name}: ") for line in wrong)
