"""Chunks: nothing lost between them, sources on one clock, sums exact to the last bit."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from pipelines.samples import chunks
from pipelines.samples.chunks import AlignedSource
from stemlode import audio
from stemlode.audio import mixdown
from stemlode.audio.powers import sum_squares

RATE = 8000


def _song(
    path: Path, frames: int, seed: int = 0, channels: int = 2, rate: int = RATE
) -> np.ndarray:
    """A 16 bit file of noise; its samples as float32 [channels, frames]."""
    noise = np.random.default_rng(seed).integers(-9000, 9000, (channels, frames), dtype=np.int16)
    soundfile.write(path, noise.T, rate, subtype="PCM_16")
    return noise.astype(np.float32) / chunks.full_scale(16)


def _cut(
    *sources: AlignedSource, until: str | None = None, chunk: int = 1000
) -> dict[str, np.ndarray]:
    """All chunks put together again; checks their lengths."""
    found = list(chunks.cut(sources, sample_rate=RATE, channels=2, chunk_frames=chunk, until=until))
    for piece in found[:-1]:
        assert {samples.shape for samples in piece.values()} == {(2, chunk)}
    if not found:
        return {}
    assert 0 < found[-1][sources[0].name].shape[1] <= chunk
    return {s.name: np.concatenate([piece[s.name] for piece in found], 1) for s in sources}


@pytest.mark.parametrize("frames", [1, 999, 1000, 1001, 70_000])
def test_chunks_put_together_are_the_song(tmp_path: Path, frames: int) -> None:
    song = _song(tmp_path / "a.wav", frames)
    np.testing.assert_array_equal(_cut(AlignedSource("a", str(tmp_path / "a.wav")))["a"], song)


@pytest.mark.parametrize("shift", [-70_001, -3, 0, 5, 66_000])
def test_a_pair_is_put_on_one_clock_and_cut_to_what_both_have(tmp_path: Path, shift: int) -> None:
    music = _song(tmp_path / "mixture.wav", 80_000)
    late = music[:, shift:] if shift > 0 else np.pad(music, ((0, 0), (-shift, 0)))
    # the instrumental begins `shift` frames into the mixture, inverted, at half the level
    soundfile.write(tmp_path / "instrumental.wav", -late.T / 2, RATE, subtype="FLOAT")
    sources, first = chunks.aligned_pair(
        str(tmp_path / "mixture.wav"),
        str(tmp_path / "instrumental.wav"),
        offset_frames=-shift,
        gain_db=20 * np.log10(2),
        polarity=-1,
    )
    found = _cut(*sources)
    assert first == max(0, shift)
    np.testing.assert_array_equal(found["mixture"], music[:, first:])
    np.testing.assert_allclose(found["accompaniment"], found["mixture"], atol=1e-6)


def test_a_multitrack_lasts_as_long_as_its_mixture_or_its_longest_stem(tmp_path: Path) -> None:
    long, short = _song(tmp_path / "a.wav", 5000), _song(tmp_path / "b.wav", 2500, seed=1)
    sources = (
        AlignedSource("a", str(tmp_path / "a.wav")),
        AlignedSource("b", str(tmp_path / "b.wav")),
    )
    longest = _cut(*sources, until="")
    np.testing.assert_array_equal(longest["a"], long)
    np.testing.assert_array_equal(longest["b"], np.pad(short, ((0, 0), (0, 2500))))
    np.testing.assert_array_equal(_cut(*sources, until="b")["a"], long[:, :2500])
    np.testing.assert_array_equal(_cut(*sources)["a"], long[:, :2500])


def test_channels_and_rates_become_the_corpus_own(tmp_path: Path) -> None:
    mono = _song(tmp_path / "mono.wav", 16_000, channels=1, rate=2 * RATE)
    found = _cut(AlignedSource("a", str(tmp_path / "mono.wav")))["a"]
    assert found.shape == (2, 8000)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[:1], audio.resample(mono, 2 * RATE, RATE))
    surround = _song(tmp_path / "surround.wav", 1000, channels=6)
    found = _cut(AlignedSource("a", str(tmp_path / "surround.wav")))["a"]
    np.testing.assert_allclose(found, mixdown.as_heard(surround), atol=1e-6)


@given(
    st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=20),
    st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=20),
    st.sampled_from([16, 24]),
)
def test_integers_hold_sources_and_sums_exactly(
    one: list[float], other: list[float], bits: int
) -> None:
    length = min(len(one), len(other))
    sources = {
        "vocals": np.array([one[:length]], np.float32),
        "drums": np.array([other[:length]], np.float32),
    }
    sums = {"accompaniment": {"drums": 1}, "mixture": {"vocals": 1, "accompaniment": 1}}
    integers, scale = chunks.quantise(sources, sums, bits)
    wide = {name: samples.astype(np.int64) for name, samples in integers.items()}
    np.testing.assert_array_equal(wide["mixture"] - wide["vocals"], wide["accompaniment"])
    assert scale >= 1 and np.log2(scale) % 1 == 0
    full = chunks.full_scale(bits)
    for name, samples in sources.items():
        true = integers[name] * (scale / full)
        assert np.abs(true - samples).max() <= scale / full / 2
    if scale > 1:  # with the next smaller one, something would not fit
        halved = [np.rint(s.astype(np.float64) * 2 * full / scale) for s in sources.values()]
        held = [*halved, sum(halved)]
        assert any(samples.max() > full - 1 or samples.min() < -full for samples in held)


def test_a_16_bit_file_keeps_its_integers(tmp_path: Path) -> None:
    everything = np.arange(-32768, 32768, dtype=np.int16).reshape(1, -1)
    soundfile.write(tmp_path / "a.wav", everything.T, RATE, subtype="PCM_16")
    (chunk,) = chunks.cut(
        [AlignedSource("mixture", str(tmp_path / "a.wav"))],
        sample_rate=RATE,
        channels=1,
        chunk_frames=100_000,
    )
    integers, scale = chunks.quantise(chunk, {})
    assert scale == 1
    np.testing.assert_array_equal(integers["mixture"], everything)


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("frames", [1, 2, 15, 16, 17, 4097, 100_000])
def test_flac_gives_back_every_integer(tmp_path: Path, frames: int, bits: int) -> None:
    full = chunks.full_scale(bits)
    kept = np.int16 if bits == 16 else np.int32
    noise = np.random.default_rng(0).integers(-full, full, (2, frames), dtype=kept)
    (tmp_path / "a.flac").write_bytes(chunks.flac(noise, 44_100, bits))
    found, rate = soundfile.read(tmp_path / "a.flac", dtype="int32", always_2d=True)
    assert rate == 44_100 and soundfile.info(tmp_path / "a.flac").subtype == f"PCM_{bits}"
    np.testing.assert_array_equal(found.T >> (32 - bits), noise)


def test_energies_count_what_was_meant_not_what_is_stored() -> None:
    square = np.full((2, 1000), 16_384, np.int16)
    squares = sum_squares(square)
    assert chunks.level_db(squares, square.size, 1.0) == pytest.approx(-6.021, abs=1e-3)
    assert chunks.level_db(squares, square.size, 4.0) == pytest.approx(6.021, abs=1e-3)
    assert chunks.level_db(0, square.size, 1.0) == chunks.QUIETEST_DB
