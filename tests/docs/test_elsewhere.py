"""The programs of docs/elsewhere.md run, on a corpus of either format."""

import re
from pathlib import Path

import duckdb
import pytest

from stemlode import cli
from tests.docs.commands import PROJECT, blocks, lines
from tests.stemlode.cards import corpora

PAGE = "docs/elsewhere.md"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_its_programs_run(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    corpora.write(tmp_path / "corpus", corpora.rows({}, {"sources": ["mixture"]}), kind)
    monkeypatch.chdir(tmp_path)
    text = (PROJECT / PAGE).read_text(encoding="utf-8")
    for block in blocks(PAGE):
        for line in lines(block):
            assert cli.main(line.split()[1:]) == 0
    programs = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(programs) == 3
    for program in programs:
        exec(compile(program, PAGE, "exec"), {})
    for query in re.findall(r"^```sql\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        assert duckdb.sql(query).fetchall() == [("train", 2, pytest.approx(0.2 / 3600), 2)]
