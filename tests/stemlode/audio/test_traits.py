"""Files as people have them are heard whole, or named as damaged, whatever their format."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from stemlode import audio
from stemlode.audio import AudioError, decoders
from tests.stemlode.audio.traits import RATE, SECONDS, Trait, encoded, sound, traits, written

GOOD = [trait for trait in traits() if not trait.error]
BAD = [trait for trait in traits() if trait.error]
CODEC_S = 0.08  # what codecs add or lose at either end, and a decoder that finds its way again


def _names(trait: Trait) -> str:
    return trait.name


def _file(trait: Trait, folder: Path) -> str:
    path = folder / f"file.{trait.ending.strip(',')}"
    path.write_bytes(trait.data)
    return str(path)


def _by_ffmpeg(data: bytes) -> float:
    """Seconds of what it decodes, if need be with packets lost."""
    seconds = 0.0
    with av.open(io.BytesIO(data)) as container:
        for packet in container.demux(container.streams.audio[0]):
            try:
                decoded = packet.decode()
            except av.FFmpegError:
                continue
            seconds += sum(frame.samples / frame.sample_rate for frame in decoded)
    return seconds


def _by_libsndfile(data: bytes) -> float:
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        return len(file.read()) / file.samplerate


@pytest.mark.parametrize("trait", GOOD, ids=_names)
def test_a_file_is_heard_whole(trait: Trait, tmp_path: Path) -> None:
    found = audio.read(_file(trait, tmp_path))
    assert found.duration_s == pytest.approx(trait.seconds, abs=CODEC_S * trait.seconds / SECONDS)
    reads = _by_libsndfile if "free format" in trait.name else _by_ffmpeg
    others = sum(reads(part) for part in trait.parts or (trait.data,))
    assert found.duration_s == pytest.approx(others, abs=0.003 if reads is _by_ffmpeg else 0.015)
    loud = np.abs(found.samples[:, -RATE // 4 :]).max()
    assert loud > 0.05, "the end is not there"


@pytest.mark.parametrize("trait", GOOD, ids=_names)
def test_its_length_is_known_without_decoding_it(trait: Trait, tmp_path: Path) -> None:
    path = _file(trait, tmp_path)
    counted = audio.probe(path, count=True)
    assert counted.duration_source == trait.source
    heard_s = audio.read(path).duration_s
    assert counted.duration_s == pytest.approx(heard_s, abs=0.06 * trait.seconds / SECONDS)
    if trait.source == "stated":
        assert audio.probe(path) == counted


@pytest.mark.parametrize("trait", BAD, ids=_names)
def test_damage_is_named(trait: Trait, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=trait.error) as caught:
        audio.read(_file(trait, tmp_path))
    assert caught.value.error == "damaged"


def test_what_a_header_counts_is_what_libsndfile_gives(tmp_path: Path) -> None:
    headed = [
        t
        for t in GOOD
        if t.name in ("mp3 with a header", "ogg", "flac", "flac of 24 bits", "wav", "aiff")
    ]
    assert len(headed) == 6
    for trait in headed:
        samples, rate = soundfile.read(io.BytesIO(trait.data), dtype="float32", always_2d=True)
        found = audio.read(_file(trait, tmp_path))
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


def test_the_links_of_a_chain_are_all_there_at_the_first_ones_rate(tmp_path: Path) -> None:
    chain = next(trait for trait in GOOD if trait.name == "ogg of two rates")
    found = audio.read(_file(chain, tmp_path))
    assert found.sample_rate == RATE
    first, second = (soundfile.read(io.BytesIO(part), dtype="float32") for part in chain.parts)
    expected = np.concatenate([first[0].T, audio.resample(second[0].T, second[1], RATE)], axis=1)
    np.testing.assert_allclose(found.samples, expected, atol=1e-4)
