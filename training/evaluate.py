"""`stemlode evaluate`: a checkpoint and songs whose sources are known → scores.

Scored is what `stemlode separate` gives: all channels at the full rate, estimates band-limited by
the model's rate, the other stem of a net for one source what is left of the mixture.
"""

import sys

if __name__ == "__main__":
    from stemlode import run as run_verb

    sys.exit(run_verb("training.evaluate", sys.argv[1:]))

import hashlib
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tqdm import tqdm

from pipelines import audio, files, runs
from pipelines.arguments import Parser
from pipelines.audio import AudioError
from pipelines.runs import BadUsage, Failed
from training import songs, sources
from training.checkpoint import Checkpoint, load
from training.chunks import Chunking
from training.corpus import open_corpus
from training.device import pick_device
from training.metrics import usdr
from training.separate import add_chunking, chunking_of, complete, cut, separate
from training.songs import Song

TABLE = "songs.parquet"
SCHEMA = pa.schema(
    [
        pa.field("song", pa.string(), False, {"description": "The song folder's name, or its id."}),
        pa.field("source", pa.string(), False, {"description": "vocals, accompaniment, …"}),
        pa.field("duration_s", pa.float64(), False, {"unit": "s", "description": "Its length."}),
        *(
            pa.field(name, pa.float64(), False, {"unit": "dB", "description": sentence})
            for name, sentence in (
                ("usdr_mixture", "uSDR of the mixture as estimate; NaN for a silent source."),
                ("usdr_estimate", "uSDR of the trained net's estimate."),
                ("usdr_oracle", "uSDR of the best mask of the net's kind."),
            )
        ),
    ]
)
COLUMNS = ("usdr_mixture", "usdr_estimate", "usdr_oracle")


def score(name: str, song: Song, trained: Checkpoint, chunking: Chunking) -> list[dict[str, Any]]:
    """The rows of a song: one a stem. AudioError where the song lacks a stem's truth."""
    stems = sources.stems(trained.recipe)
    references = {stem: song.source(stem) for stem in stems}
    found = {
        "usdr_mixture": dict.fromkeys(stems, song.mixture),
        "usdr_estimate": separate(song.mixture, song.sample_rate, trained, chunking),
        "usdr_oracle": oracle(song, trained, chunking),
    }
    rows = []
    for stem, reference in references.items():
        estimates = np.stack([part[stem] for part in found.values()])  # [3, channels, frames]
        scores = usdr(np.broadcast_to(reference, estimates.shape), estimates)
        row = {"song": name, "source": stem}
        row["duration_s"] = reference.shape[1] / song.sample_rate
        rows.append(row | dict(zip(found, scores.tolist(), strict=True)))
    return rows


def oracle(song: Song, trained: Checkpoint, chunking: Chunking) -> dict[str, np.ndarray]:
    """The stems by the best mask of the net's kind, the rest of the way the net's."""
    recipe = trained.recipe
    known = [song.mixture, *(song.source(name) for name in sources.estimated(recipe))]
    mixture, *references = (
        torch.tensor(
            audio.resample(np.ascontiguousarray(part), song.sample_rate, recipe.sample_rate)
        )
        for part in known
    )
    ideal = sources.oracle(mixture, torch.stack(references), recipe, chunking)
    return complete(song.mixture, song.sample_rate, ideal, trained)


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Means by source and column over the songs in which both sources sound.

    Thesis 4.3: "limited to clips that are known to contain vocals"; elsewhere the mixture is the
    accompaniment itself, and its score has no bound.
    """
    silent = {row["song"] for row in rows if math.isnan(row["usdr_mixture"])}
    means = {}
    for source in _stems(rows):
        for column in COLUMNS:
            heard = [
                row[column] for row in rows if row["source"] == source and row["song"] not in silent
            ]
            if heard:
                means[f"{source}_{column}"] = round(sum(heard) / len(heard), 6)
    return means


def table(scores: dict[str, float]) -> str:
    """The means as text: a line a source."""
    lines = [f"{'uSDR in dB':<16}{'mixture':>10}{'estimate':>10}{'oracle':>10}"]
    for source in dict.fromkeys(name.partition("_usdr_")[0] for name in scores):
        values = [scores.get(f"{source}_{column}", math.nan) for column in COLUMNS]
        lines.append(f"{source:<16}" + "".join(f"{value:>10.2f}" for value in values))
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Run `stemlode evaluate`; the exit status."""
    options = _parser().parse(argv)
    for name in ("checkpoint", "output"):
        if not getattr(options, name):
            raise BadUsage(f"stemlode evaluate needs --{name} (see --help)")
    if bool(options.stems) == bool(options.corpus):
        raise BadUsage("stemlode evaluate needs either --stems or --corpus (see --help)")
    chunking = chunking_of(options)
    trained = load(options.checkpoint, pick_device(options.device))
    inputs = {"checkpoint": files.absolute(options.checkpoint)}
    decisive: dict[str, Any] = {**cut(chunking)}
    listed: Sequence[songs.Stems | songs.Chunks]
    if options.stems:
        inputs["stems"] = files.absolute(options.stems)
        listed = songs.in_folder(inputs["stems"])
    else:
        inputs["corpus"], decisive["split"] = files.absolute(options.corpus), options.split
        listed = songs.in_corpus(open_corpus(inputs["corpus"]), options.split)
    output = files.absolute(options.output)
    run = runs.start("evaluate", output, decisive, inputs, overwrite=options.overwrite)
    if run is None:
        print(f"evaluate: already complete in {output}")
        print(table(runs.record(output)["scores"]))
        return 0

    rows: list[dict[str, Any]] = []
    rejects: dict[str, str] = {}
    for song in tqdm(listed, "evaluate", unit="song", disable=None):
        try:
            rows += score(song.name, song.load(), trained, chunking)
        except AudioError as error:
            rejects[song.name] = str(error)
            print(f"evaluate: left out {song.name}: {error}", file=sys.stderr)
    if not rows:
        raise Failed(f"none of {len(listed)} songs can be evaluated; the lines above say why")
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), buffer, compression="zstd")
    files.write_bytes(run.path(TABLE), buffer.getvalue())
    scores = summary(rows)
    run.finish(
        {
            "songs": len({row["song"] for row in rows}),
            **{f"silent_{stem}": _silent(rows, stem) for stem in _stems(rows)},
            "rejected": len(rejects),
        },
        {TABLE: hashlib.sha256(buffer.getvalue()).hexdigest()},
        scores=scores,
        rejects=rejects,
    )
    print(f"evaluate: {len(listed) - len(rejects)} songs, {len(rejects)} rejected, in {output}")
    print(table(scores))
    return 0


def _stems(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["source"] for row in rows))


def _silent(rows: list[dict[str, Any]], source: str) -> int:
    return sum(row["source"] == source and math.isnan(row["usdr_mixture"]) for row in rows)


def _parser() -> Parser:
    parser = Parser(
        prog="stemlode evaluate",
        description="Score a checkpoint on songs whose sources are known: uSDR of the mixture as "
        "estimate, of the net's estimate, and of an oracle's mask.",
    )
    parser.add_argument("--checkpoint", metavar="DIR", help="folder written by `stemlode train`")
    parser.add_argument(
        "--stems",
        metavar="DIR",
        help="folder of song folders with mixture, vocals and accompaniment (or other stems) "
        "in any audio format; a missing mixture is their sum",
    )
    parser.add_argument("--corpus", metavar="DIR", help="folder written by `stemlode corpus`")
    parser.add_argument(
        "--split", default="valid", help="of the corpus: train, valid or test (valid)"
    )
    parser.add_argument("--output", metavar="DIR", help="folder to write; a rerun resumes")
    add_chunking(parser)
    parser.add_argument("--overwrite", action="store_true", help="start over")
    parser.add_argument("--device", help="cpu, cuda or cuda:1; by default a GPU where there is one")
    return parser
