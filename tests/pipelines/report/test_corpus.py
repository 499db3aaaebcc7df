"""The statistics page of a corpus: every number is that of the tables."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.pages import inputs, pairs
from pipelines.report import corpus as corpus_module
from pipelines.report import page as report_page
from stemlode import schemas
from stemlode.ids import digest
from tests.pipelines.report import folders


def _row(number: int, **facts: Any) -> dict[str, Any]:
    split = facts.get("split", "train")
    return {
        "sample_id": digest(str(number)),
        "song_id": digest("song", str(number // 4)),
        "split_group": "g",
        "split": split,
        "shard": f"{split}/{split}-00000.tar",
        "offset": 0,
        "size": 512,
        "kind": "stems",
        "sources": ["mixture", "vocals"],
        "start_s": 0.0,
        "duration_s": 36.0,
        "sample_rate": 44100,
        "channels": 2,
        "scale": 1.0,
        "energies_db": {"mixture": -20.0 - number % 4, "vocals": -30.0},
        "sha256": {"json": "00"},
        **facts,
    }


@pytest.fixture
def corpus(tmp_path: Path) -> inputs.Folder:
    """40 samples of 36 s: 24 minutes in all."""
    rows = [
        _row(
            n,
            split="train" if n < 32 else "test",
            genre="rock" if n < 10 else None,
            release_year=1980 + n % 20,
            licence=f"licence {n % 15}",
            augmentation='{"copy": 1}' if n < 4 else None,
            **(
                {"kind": "unpaired", "sources": ["vocals"], "energies_db": {"vocals": -9.0}}
                if n == 39
                else {}
            ),
        )
        for n in range(40)
    ]
    run = folders.start("corpus", tmp_path / "corpus", {})
    folders.table(run, "index", rows, schemas.INDEX)
    why = ["Other <b>song</b>: sounds the same: 50 landmarks"]
    songs = [
        {
            "recording_id": str(n),
            "song_id": str(n),
            "name": f"song {n}",
            "kind": "stems",
            "split": "train",
            "split_group": "g",
            "joined": why if n == 1 else None,
            "duration_s": 144.0,
            "chunks": 5,
            "left_out": n,
            "sum_error_db": -20.0 - n if n else None,
        }
        for n in range(4)
    ]
    folders.table(run, "songs", songs, schemas.SONG)
    rejects = [folders.reject(str(n), error="silent" if n else "sum") for n in range(3)]
    folders.table(run, "rejects", rejects, schemas.REJECT)
    folders.finish(run, {"multitracks": 13, "recordings": 10, "samples": 40})
    ((held,), _) = inputs.find([str(tmp_path)])
    return held


def test_hours_add_up_by_every_column(corpus: inputs.Folder) -> None:
    held = corpus_module.statistics(corpus)
    assert held is not None and held.hours == pytest.approx(0.4)
    tables = dict(held.tables)
    for title, rows in tables.items():
        if title != "Hours by source":
            assert sum(row.hours for row in rows) == pytest.approx(0.4)
            assert sum(row.samples for row in rows) == 40
    found = {row.value: row.samples for row in tables["Hours by source"]}
    assert found == {"vocals": 40, "mixture": 39}
    assert {row.value: row.samples for row in tables["Hours by genre"]} == {"rock": 10, "": 30}
    licences = tables["Hours by licence"]
    assert len(licences) == corpus_module.LISTED + 1 and licences[-1].others == 3
    years = [(row.value, row.samples) for row in tables["Hours by year"]]
    assert years == [("1980s", 20), ("1990s", 20)]  # 20 years are more than LISTED


def test_distributions_count_every_sample_and_every_song_once(corpus: inputs.Folder) -> None:
    held = corpus_module.statistics(corpus)
    assert held is not None and held.loudness is not None and held.length is not None
    assert held.loudness.counted == 40
    assert held.length.counted == 9  # ten songs, and one of them is a copy
    assert {box.kind for box in held.loudness.boxes} == {"train", "test"}
    assert held.copies == pytest.approx(0.04)


def test_losses_are_told_by_cause(corpus: inputs.Folder) -> None:
    held = corpus_module.statistics(corpus)
    assert held is not None
    assert held.causes == [("silent", 2), ("sum", 1)]
    assert (held.left_out, held.chunks) == (6, 20)
    assert held.misses == [("song 1", -21.0), ("song 2", -22.0), ("song 3", -23.0)]
    assert [name for name, _, _ in held.joined] == ["song 1"]


def test_the_page_shows_it_and_escapes_what_songs_are_called(corpus: inputs.Folder) -> None:
    page = report_page.page([corpus])
    for text in ("Hours by source", "Hours by year", "1990s", "rejected: silent", "6 of 20"):
        assert text in page
    assert "Other &lt;b&gt;song&lt;/b&gt;" in page and "<b>song</b>" not in page
    assert "Does not add up" not in page


def test_a_corpus_without_a_table_of_songs_has_a_page(tmp_path: Path) -> None:
    folders.corpus_run(tmp_path / "corpus", tmp_path / "pairs", 2, {"train": 2})
    ((held,), _) = inputs.find([str(tmp_path)])
    found = corpus_module.statistics(held)
    assert found is not None and found.loudness is None and found.chunks == 0
    assert "Hours by licence" in report_page.page([held])


def test_hours_of_what_was_mended_are_told_by_repair(tmp_path: Path) -> None:
    mended = ["speed", "speed+level", "level", None, None]
    rows = [_row(n, kind="pair", repaired=repaired) for n, repaired in enumerate(mended)]
    run = folders.start("corpus", tmp_path / "corpus", {})
    folders.table(run, "index", rows, schemas.INDEX)
    folders.finish(run, {"samples": 5})
    ((folder,), _) = inputs.find([str(tmp_path)])
    held = corpus_module.statistics(folder)
    assert held is not None
    found = {row.value: row.samples for row in dict(held.tables)[corpus_module.MENDED]}
    assert found == {"speed": 2, "level": 2}
    assert sum(row.hours for row in dict(held.tables)["Hours by kind"]) == pytest.approx(0.05)


def test_examples_of_what_was_mended_come_first_and_say_so(tmp_path: Path) -> None:
    mix, instrumental = (str(tmp_path / name) for name in ("mix.wav", "instrumental.wav"))
    rows = [
        {**folders.pair(f"song {n}", mix=mix, instrumental=instrumental), "repaired": repaired}
        for n, repaired in enumerate([None, "speed", "speed", "parts", None])
    ]
    run = folders.start("prune", tmp_path / "pairs", {})
    folders.table(run, "pairs", rows, schemas.SCORED_PAIR)
    counts = {"repaired_speed": 2, "hours_repaired_speed": 0.125, "repaired_parts": 1}
    folders.finish(run, {"candidates": 5, **counts})
    ((folder,), _) = inputs.find([str(tmp_path)])
    said = report_page.page([folder])
    assert "Mended and used: speed 2 pairs, 0.12 hours; parts 1 pairs, 0.00 hours." in said
    found = [choices[0].repaired for choices in pairs.examples(folder)]
    assert found == ["parts", "speed", "", ""]
