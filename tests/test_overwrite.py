"""--overwrite knows all that a verb writes, and that its older versions wrote."""

import re

import pytest

import pipelines.corpus.command
import pipelines.perturb.command
import pipelines.pseudolabel.command
import pipelines.review.command
import pipelines.salience.command
import training.amicable.perturb
import training.evaluation.command
import training.finetuning.command
import training.loop.command
import training.pitch.command
import training.separation.command
from stemlode import files, runs

SHARDS = ["train/train-00000.tar", "valid/valid-00012.tar", "test/test-123456.parquet"]
TRAIN = ["checkpoint/model.safetensors", "checkpoint/config.json", "last/state.safetensors"]
TRAIN += ["levels.json", "log.jsonl", "log/000001.jsonl", "previews/best/0/mixture.flac"]
TRAIN += ["previews/last/3/reference.flac", "tensorboard/events.out.tfevents.1.host.2.0"]
WRITTEN = {
    "corpus": (pipelines.corpus.command.VERB.writes, [*SHARDS, "_APPEND.json"]),
    "pseudolabel": (pipelines.pseudolabel.command.VERB.writes, SHARDS),
    "salience": (pipelines.salience.command.VERB.writes, SHARDS[:2]),
    "review": (
        pipelines.review.command.WRITES,
        ["sample.json", "judgements.jsonl", "thresholds.json"],
    ),
    "train": (training.loop.command.WRITES, TRAIN),
    "finetune": (training.finetuning.command.WRITES, [*TRAIN, "unlabelled.json"]),
    "evaluate": (training.evaluation.command.WRITES, ["songs.parquet"]),
    "separate": (
        training.separation.command.WRITES,
        ["a song/vocals.wav", "a song/accompaniment.wav", "x-2/no_lead-guitar.wav"],
    ),
    "pitch": (
        training.pitch.command.WRITES,
        ["a song/f0.csv", "a song/f0s.tsv", "x-2/salience.png", "index.html"],
    ),
    "perturb": (training.amicable.perturb.FILES, ["perturbed.wav", "report.html"]),
    "perturb-songs": (pipelines.perturb.command.VERB.writes, ["a song/report.json"]),
    "match": ((), []),
}
FOREIGN = [
    "notes.txt",
    "train/notes.tar",
    "checkpoint/model.bin",
    "song/vocals.wav.bak",
    "a/b/c.wav",
]


@pytest.mark.parametrize("verb", [*WRITTEN])
def test_overwrite_removes_what_the_verb_writes_and_stops_at_the_rest(
    verb: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    writes, names = WRITTEN[verb]
    output = str(tmp_path_factory.mktemp(verb) / "out")
    own = [*names, "_parts/x.part", "rejects-append2-00000-of-00001.parquet", "_CAUSE.json"]
    run = runs.start(verb, output, {}, {}, writes=writes)
    assert run is not None
    for name in own:
        files.write_bytes(run.path(name), b"x")
    for name in FOREIGN:
        if not any(re.fullmatch(pattern, name) for pattern in writes):
            files.write_bytes(run.path(name), b"mine")
            with pytest.raises(runs.BadUsage, match=re.escape(name)):
                runs.start(verb, output, {}, {}, overwrite=True, writes=writes)
            files.remove(run.path(name))
    assert runs.start(verb, output, {"new": 1}, {}, overwrite=True, writes=writes) is not None
    left = {path.rpartition("/")[2] for path in files.list_files(output)}
    assert left == {"_LOCK", "_PLAN.json"}
