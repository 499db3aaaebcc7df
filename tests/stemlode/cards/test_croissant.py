"""Croissant metadata names every file, and every column that it has a word for."""

import json
from pathlib import Path

from stemlode import runs, schemas
from tests.stemlode.cards import corpora


def test_every_file_is_listed_with_its_hash(tmp_path: Path) -> None:
    some = corpora.rows({"licence": 'x" \u2028'}, {"split": "valid", "sources": ["vocals"]})
    run = corpora.write(tmp_path, some, "parquet")
    found = json.loads((tmp_path / "croissant.json").read_text(encoding="utf-8"))
    outputs = runs.record(run.output)["outputs"]
    files = [one for one in found["distribution"] if one["@type"] == "cr:FileObject"]
    tables = {name: sha for name, sha in outputs.items() if name.endswith(".parquet")}
    assert {one["contentUrl"]: one["sha256"] for one in files} == tables
    assert found["license"] == ['x" \u2028'] and str(tmp_path) not in json.dumps(found)
    columns = {one["name"]: {field["name"] for field in one["field"]} for one in found["recordSet"]}
    assert columns["songs"] == {*schemas.SONG.names}
    assert {*schemas.INDEX.names} - columns["index"] == {
        "salient",
        "energies_db",
        "members",
        "sha256",
    }
    assert columns["train"] == {"sample_id", "json", "vocals.flac"}  # what all samples have


def test_the_same_corpus_has_the_same_metadata_wherever_it_lies(tmp_path: Path) -> None:
    some = {"here": [{}, {}], "there": [{}, {}], "other": [{}]}
    for place, samples in some.items():
        corpora.write(tmp_path / place, corpora.rows(*samples))
    for name in ("README.md", "croissant.json"):
        here, there, other = ((tmp_path / place / name).read_bytes() for place in some)
        assert here == there != other
    names = [json.loads((tmp_path / one / "croissant.json").read_text())["name"] for one in some]
    assert names[0] == names[1] != names[2]
