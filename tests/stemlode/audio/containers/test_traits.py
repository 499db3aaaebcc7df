"""Files as people have them are heard whole, or named as damaged, whatever their format."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from stemlode import audio
from stemlode.audio import AudioError
from tests.stemlode.audio.containers.making import RATE, SECONDS
from tests.stemlode.audio.containers.traits import Trait, traits

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


def test_a_change_of_depth_is_damage_where_blocks_are_only_counted_too(tmp_path: Path) -> None:
    trait = next(t for t in BAD if t.name == "flac of unknown length, then another depth")
    with pytest.raises(AudioError, match="damaged: FLAC of two depths"):
        audio.probe(_file(trait, tmp_path), count=True)


def test_the_links_of_a_chain_are_all_there_at_the_first_ones_rate(tmp_path: Path) -> None:
    chain = next(trait for trait in GOOD if trait.name == "ogg of two rates")
    found = audio.read(_file(chain, tmp_path))
    assert found.sample_rate == RATE
    first, second = (soundfile.read(io.BytesIO(part), dtype="float32") for part in chain.parts)
    expected = np.concatenate([first[0].T, audio.resample(second[0].T, second[1], RATE)], axis=1)
    np.testing.assert_allclose(found.samples, expected, atol=1e-4)
