"""What changes speed or pitch gets salience of its own."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemlode import audio, cli, tables
from stemlode.shards import reading, salience
from stemlode.shards.salience import LEVELS
from tests.pipelines.salience import sung
from training.pitch import swift, targets

SECONDS, HERTZ = 8, 220.0


@pytest.mark.slow
def test_an_augmented_copy_is_heard_as_it_is(tmp_path: Path) -> None:
    """Copies are stretched, transposed and resampled, and share their song's id and time."""
    for number in range(3):
        folder = tmp_path / "stems" / f"song {number}"
        folder.mkdir(parents=True)
        tone = sung.voice(np.full(SECONDS * sung.RATE, HERTZ))
        soundfile.write(folder / "vocals.flac", tone, sung.RATE)
        soundfile.write(folder / "accompaniment.flac", 0.5 * tone[::-1], sung.RATE)
    flags = ["--augment", "2", "--split", "train=1", "--chunk-seconds", "3"]
    corpus = sung.corpus(tmp_path / "stems", tmp_path / "corpus", *flags)
    output = tmp_path / "salience"
    assert cli.main(["salience", "--corpus", str(corpus), "--output", str(output)]) == 0
    samples = {row["sample_id"]: row for row in tables.read(str(corpus), "index").to_pylist()}
    found = tables.read(str(output), "salience").to_pylist()
    assert {row["sample_id"] for row in found} == {*samples}
    detector, _ = swift.load()
    moved = 0
    for row in found:
        sample = samples[row["sample_id"]]
        data = reading.contents(str(output), row, [salience.FILE])[salience.FILE]
        f0 = targets.f0_of(salience.decoded(data)[0] / LEVELS)
        if f0.voiced_share < 0.5:
            continue
        ours = np.median(f0.f0_hz[f0.voiced])
        vocals = reading.contents(str(corpus), sample, ["vocals.flac"])["vocals.flac"]
        heard, rate = soundfile.read(io.BytesIO(vocals), dtype="float32", always_2d=True)
        mono = heard.mean(axis=1) * np.float32(sample["scale"])
        own = swift.f0_of(detector, audio.resample(mono, rate, swift.SAMPLE_RATE))
        theirs = np.median(own.f0_hz[own.voiced])
        assert abs(1200 * np.log2(ours / theirs)) < 25
        if sample["augmentation"] is None:
            assert abs(1200 * np.log2(ours / HERTZ)) < 25
        else:
            moved += abs(1200 * np.log2(ours / HERTZ)) > 30
    assert moved > 3
