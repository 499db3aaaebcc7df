"""The verbs as functions: folders in, a Run out.

Every keyword is an option of the verb by its name, `sample_rate=44100` for `--sample-rate 44100`;
options of Apache Beam too, where the verb has them. A run that is there already is not made again,
and one that broke off goes on. They print what the command line prints.

All raise `BadUsage` where what is asked for is not possible, and `Failed` where the work could not
be done: one line each, that of the command line.
"""

import os
from typing import Any

from stemlode import files
from stemlode.api import calls
from stemlode.api.results import Run

Place = str | os.PathLike[str]  # a path, local, gs:// or s3://, or a Run


def scan(music: Place, output: Place, **options: Any) -> Run:
    """A folder of audio → a catalogue, from tags and headers.

    Args:
        music: the folder.
        output: folder to write.
        options: such as `extensions="wav,flac"`; see `stemlode scan --help`.

    The table is `catalogue`.
    """
    return _run("scan", output, options, music=music)


def match(catalog: Place, output: Place, **options: Any) -> Run:
    """A catalogue of tracks → pairs of an original and its instrumental, by title.

    Args:
        catalog: a run of `scan`, a file, a folder or a glob of Parquet, CSV or JSON Lines.
        output: folder to write.
        options: such as `rule="extended"`; see `stemlode match --help`.

    The table is `candidates`.
    """
    return _run("match", output, options, catalog=catalog)


def prune(candidates: Place, output: Place, **options: Any) -> Run:
    """Candidates → pairs, aligned, scored and decided by their sound.

    Args:
        candidates: a run of `match`.
        output: folder to write.
        options: such as `d_max=0.5`; see `stemlode prune --help`.

    The table is `pairs`; its `decision` says which are kept.
    """
    return _run("prune", output, options, candidates=candidates)


def corpus(
    output: Place,
    *,
    pairs: Place | None = None,
    stems: Place | None = None,
    vocals: Place | None = None,
    instrumentals: Place | None = None,
    **options: Any,
) -> Run:
    """Kept pairs, multitrack folders and unpaired songs → shards and an index.

    Args:
        output: folder to write.
        pairs: a run of `prune`.
        stems: folder of song folders with a file for each source.
        vocals: folder of songs that are nothing but voice.
        instrumentals: folder of songs that have none.
        options: such as `sources="four"`; see `stemlode corpus --help`.

    The tables are `index` and `songs`; `open_corpus` opens what it wrote.
    """
    named = {"pairs": pairs, "stems": stems, "vocals": vocals, "instrumentals": instrumentals}
    return _run("corpus", output, options, **named)


def evaluate(
    checkpoint: Place | list[Place] | None,
    output: Place,
    *,
    stems: Place | None = None,
    corpus: Place | None = None,
    **options: Any,
) -> Run:
    """A checkpoint and songs whose sources are known → scores.

    Args:
        checkpoint: a run of `train`, or several; None with `estimates=…` for other separators'.
        output: folder to write.
        stems: folder of song folders with a file for each source; or
        corpus: a run of `corpus`, of which a split is scored.
        options: such as `split="test"`, `metrics="all"`; see `stemlode evaluate --help`.

    The table is `songs`, a row for each song and stem.
    """
    several = checkpoint if isinstance(checkpoint, list) or checkpoint is None else [checkpoint]
    return _run("evaluate", output, options, checkpoint=several, stems=stems, corpus=corpus)


def _run(verb: str, output: Place, options: dict[str, Any], **named: Any) -> Run:
    folder = files.absolute(calls.path_of(output))
    calls.run(verb, {**_paths(named), "output": folder, **options})
    return Run(folder)


def _paths(named: dict[str, Any]) -> dict[str, Any]:
    return {
        name: [*map(calls.path_of, place)] if isinstance(place, list) else calls.path_of(place)
        for name, place in named.items()
        if place is not None
    }
