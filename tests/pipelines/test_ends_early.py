"""Stems that were cut: `corpus` and `evaluate` refuse the same songs in the same words."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.samples import recordings
from pipelines.samples.multitrack_chunks import multitrack_chunks
from pipelines.samples.recordings import Facts, Shape
from stemlode.audio import AudioError
from stemlode.layouts import folders
from training.evaluation import references

RATE = 16_000
SECONDS = 6
CUT = slice(4 * RATE)  # a third is missing
NEARLY = slice(6 * RATE - RATE // 2)  # within what lengths may differ by


def _corpus(folder: Path, chunk_s: float) -> str:
    (song,) = folders.read(str(folder), "auto", "own", None)
    (recording,) = recordings.of_songs([song])
    shape = Shape(chunk_s, RATE, 1)
    try:
        list(multitrack_chunks(recording, RATE, shape, round(chunk_s * RATE), Facts()))
    except AudioError as error:
        return f"{error.error}: {error}"
    return ""


def _evaluate(folder: Path) -> str:
    (song,) = references.in_folder(str(folder))
    try:
        song.load()
    except AudioError as error:
        return f"{error.error}: {error}"
    return ""


@pytest.mark.parametrize(
    ("files", "cut", "part", "verdict"),
    [
        ("vocals mixture", "vocals", CUT, "cut_short"),
        ("accompaniment mixture", "accompaniment", CUT, "cut_short"),
        ("vocals accompaniment mixture", "vocals", CUT, "cut_short"),  # its error −9 dB
        ("vocals drums mixture", "vocals", CUT, "cut_short"),
        ("vocals drums mixture", "drums", CUT, "sum"),  # the louder
        ("vocals mixture", "mixture", CUT, ""),  # all that is written is true
        ("vocals drums mixture", "mixture", CUT, ""),
        ("vocals mixture", "vocals", NEARLY, ""),
        ("vocals drums", "vocals", CUT, ""),  # nothing says that it sang on
        ("vocals rests mixture", "rests", CUT, ""),  # a silent end that was trimmed
    ],
)
def test_a_stem_that_was_cut_is_no_stem(
    files: str, cut: str, part: slice, verdict: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    vocals, drums = (
        level * rng.standard_normal(SECONDS * RATE).astype(np.float32) for level in (0.03, 0.06)
    )
    rests = drums * (np.arange(SECONDS * RATE) < CUT.stop)
    signals = {"vocals": vocals, "drums": drums, "accompaniment": drums, "rests": rests}
    signals["mixture"] = vocals + (rests if "rests" in files else drums)
    (tmp_path / "song").mkdir()
    for name in files.split():
        samples = signals[name][part] if name == cut else signals[name]
        soundfile.write(tmp_path / "song" / f"{name}.wav", samples, RATE, subtype="FLOAT")
    said = {_corpus(tmp_path, 6.0), _corpus(tmp_path, 0.9), _evaluate(tmp_path)}
    assert {text.partition(":")[0] for text in said} == {verdict}
    if verdict:
        ends = f"{cut}.wav ends at {part.stop / RATE:.1f} of {SECONDS:.1f} s"
        assert all(ends in text for text in said)
        assert len({re.sub("; take the mixture.*", "", text) for text in said}) == 1
