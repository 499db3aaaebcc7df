"""Songs by name, paths from where the runs lie, and what each run took in and gave."""

from pathlib import Path

from pipelines.pages import inputs
from pipelines.report import counts, names
from pipelines.report.names import Names
from stemlode import schemas
from tests.pipelines.report import folders


def test_ids_become_names_once(tmp_path: Path) -> None:
    pair = folders.pair("Salt & Fire", artist="Ada")
    folders.prune_run(tmp_path / "pairs", folders.match_run(tmp_path / "c", [pair], 2), [pair])
    named = Names(inputs.find([str(tmp_path)])[0])
    ids = [pair[k] for k in ("song_id", "mix_track_id", "instrumental_track_id")]
    assert named(pair["pair_id"]) == "Ada – Salt & Fire"
    assert named(" ".join(ids)) == "Ada – Salt & Fire, Ada – Salt & Fire (Instrumental)"
    assert named(f"track {ids[1]}: gone") == "track Ada – Salt & Fire: gone"
    unknown, digest = "0" * 32, "a" * 64
    assert named(unknown) == unknown and named(digest) == digest and named("song") == "song"


def test_paths_are_seen_from_where_the_runs_lie(tmp_path: Path) -> None:
    pairs = [folders.pair("One")]
    folders.match_run(tmp_path / "deep/candidates", pairs, 2)
    folders.prune_run(tmp_path / "pairs", tmp_path / "deep/candidates", pairs)
    found = inputs.find([str(tmp_path)])[0]
    assert names.root(found) == str(tmp_path)
    assert names.root(found[:1]) == str(tmp_path / "deep")
    assert names.below(found[0].path, str(tmp_path)) == "deep/candidates"
    assert names.below("/a", "") == "/a"
    assert names.finished(found).endswith(" UTC")


def test_what_was_rejected_is_in_the_flow(tmp_path: Path) -> None:
    """Seven multitrack songs in, three rejected, four in the corpus."""
    run = folders.start("corpus", tmp_path / "corpus", {})
    index = dict.fromkeys(schemas.INDEX.names) | {
        "sample_id": "s", "split_group": "g", "split": "train", "shard": "t", "offset": 0,
        "size": 1,
        "kind": "multitrack", "sources": ["vocals"], "start_s": 0.0, "duration_s": 12.0,
        "sample_rate": 44100, "channels": 2, "scale": 1.0, "sha256": {},
    }  # fmt: skip
    rows = [index | {"song_id": str(i)} for i in range(4)]
    folders.table(run, "index", rows, schemas.INDEX)
    folders.table(run, "rejects", [folders.reject(str(i)) for i in range(3)], schemas.REJECT)
    read = {"pairs": 0, "multitracks": 7, "unpaired": 0, "recordings": 4, "samples": 4}
    folders.finish(run, read)
    found = inputs.find([str(tmp_path)])[0]
    (chain,) = counts.chains(found)
    assert [(row.stage, row.label, row.value) for row in chain.rows] == [
        ("recordings read", "multitrack", 7),
        ("recordings", "in the corpus", 4),
        ("recordings", "rejected", 3),
        ("samples", "train", 4),
    ]
    assert not chain.broken
    (one,) = counts.read_and_rejected(found)
    assert (one.read, one.rejected, one.dropped, one.passed) == (7, 3, 0, 4)
