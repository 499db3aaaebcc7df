"""Of one file the two libraries give the same samples, and say whether its end is there."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemlode import audio
from stemlode.audio import decoders
from tests.stemlode.audio.containers.making import encoded, sound, written
from tests.stemlode.audio.containers.traits import traits


def test_what_a_header_counts_is_what_libsndfile_gives(tmp_path: Path) -> None:
    headed = [
        t
        for t in traits()
        if t.name in ("mp3 with a header", "ogg", "flac", "flac of 24 bits", "wav", "aiff")
    ]
    assert len(headed) == 6
    for trait in headed:
        samples, rate = soundfile.read(io.BytesIO(trait.data), dtype="float32", always_2d=True)
        path = tmp_path / "file"
        path.write_bytes(trait.data)
        found = audio.read(str(path))
        assert found.samples.shape == samples.T.shape and found.sample_rate == rate
        np.testing.assert_allclose(found.samples, samples.T, atol=2e-5)


def test_lossless_samples_are_the_same_to_the_last_bit(tmp_path: Path) -> None:
    for form, subtype in (
        ("FLAC", "PCM_16"),
        ("FLAC", "PCM_24"),
        ("WAV", "PCM_24"),
        ("AIFF", "PCM_16"),
    ):
        data = written(sound(), form, subtype)
        samples, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
        (tmp_path / "file").write_bytes(data)
        np.testing.assert_array_equal(audio.read(str(tmp_path / "file")).samples, samples.T)


@pytest.mark.parametrize("codec", ["vorbis", "opus"])
def test_a_missing_last_page_is_noticed(codec: str, tmp_path: Path) -> None:
    data = written(sound(4.0), "OGG")
    if codec == "opus":
        data = encoded(sound(4.0, rate=48_000), "ogg", "libopus", 48_000)
    for cut, ended in ((0, True), (1, False), (len(data) // 2, False)):
        (tmp_path / "file").write_bytes(data[: len(data) - cut])
        with decoders.opened(str(tmp_path / "file")) as source:
            assert source.ended == ended
            assert any(True for _ in source.blocks(1000))
