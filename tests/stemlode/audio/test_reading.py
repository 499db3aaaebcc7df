"""Audio in and out: every format alike, damage named, memory bounded, faults not hidden."""

import http.server
import io
import math
import os
import shutil
import struct
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import av
import fsspec
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlode import audio
from stemlode.audio import AudioError
from stemlode.audio.containers import opening
from tests.stemlode.audio.containers.making import encoded, written

RATE = 44_100

BROKEN = {  # file → what the reason must say
    "empty.wav": "empty file",
    "text_named.mp3": "not audio",
    "zeros.ogg": "not audio",
    "zero_channels.wav": "zero channels",
    "truncated.flac": "16.7 of 45.0 s decodable",
    "flac_named.wav": "6.3 of 45.0 s decodable",  # FLAC under another name, but cut as well
    "bit_rot.mp3": "damaged: only the first 6.0 s decode",
}


def noise(seconds: float, channels: int = 2, rate: int = RATE) -> np.ndarray:
    shape = (channels, round(seconds * rate))
    return np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)


def encode(path: Path, samples: np.ndarray, codec: str, rate: int = RATE) -> Path:
    """By FFmpeg, for formats that we read but do not write."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", "stereo")
        frame.rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_an_error_that_says_why(test_data: Path, name: str) -> None:
    with pytest.raises(AudioError) as caught:
        audio.read(str(test_data / "audio/broken" / name))
    assert BROKEN[name] in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 80


def test_every_broken_file_is_in_the_table_above(test_data: Path) -> None:
    found = {path.name for path in (test_data / "audio/broken").iterdir()}
    assert found == {*BROKEN, "header_claims_4GiB.wav"}


def test_a_header_that_claims_4_gib_costs_no_memory_and_what_is_there_is_read(
    test_data: Path,
) -> None:
    path = str(test_data / "audio/broken/header_claims_4GiB.wav")
    tracemalloc.start()
    try:
        found = audio.read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.samples.shape == (2, 1000)
    assert peak < 4 << 20


def test_content_and_not_the_name_decides_the_format(test_data: Path, tmp_path: Path) -> None:
    whole = test_data / "audio/multitrack/song1_planetblupi_sung/vocals.flac"
    named = shutil.copy(whole, tmp_path / "flac_named.wav")
    expected, rate = soundfile.read(whole, dtype="float32", always_2d=True)
    found = audio.read(str(named))
    assert found.sample_rate == rate == audio.probe(str(named)).sample_rate
    np.testing.assert_array_equal(found.samples, expected.T)


def test_no_such_file(tmp_path: Path) -> None:
    for path in ("gone.wav", "gone/gone.wav", "a\0b.wav"):
        with pytest.raises(AudioError, match=r"no such file|cannot be opened"):
            audio.read(str(tmp_path / path))
    with pytest.raises(AudioError, match="is a directory"):
        audio.read(str(tmp_path))


def test_names_that_look_like_urls_globs_or_no_text_are_plain_names(tmp_path: Path) -> None:
    audio.write(str(tmp_path / "plain.wav"), noise(0.1), RATE)
    for name in ("a::b.wav", "*.wav", "~.wav", "new\nline.wav", "ａ́.wav", os.fsdecode(b"\xff.wav")):
        shutil.copy(tmp_path / "plain.wav", tmp_path / name)
        assert audio.read(str(tmp_path / name)).samples.shape == (2, 4410)
    assert audio.read(f"file://{tmp_path}/plain.wav").duration_s == pytest.approx(0.1)


@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".flac", ".mp3"])
def test_half_a_file_says_how_much_of_it_there_is(tmp_path: Path, suffix: str) -> None:
    whole, half = tmp_path / f"whole{suffix}", tmp_path / f"half{suffix}"
    soundfile.write(whole, noise(4).T, RATE)
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(AudioError, match=r"truncated or damaged: [12]\.\d of 4\.\d s decodable"):
        audio.read(str(half))


def test_half_an_mp4_says_so_too(tmp_path: Path) -> None:
    whole, half = tmp_path / "whole.m4a", tmp_path / "half.m4a"
    with av.open(str(whole), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("aac", rate=RATE, layout="stereo")
        frame = av.AudioFrame.from_ndarray(noise(4), "fltp", "stereo")
        frame.rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert audio.read(str(whole)).duration_s == pytest.approx(4, abs=0.1)
    with pytest.raises(AudioError, match=r"(of 4\.\d s decodable|only the first)"):
        audio.read(str(half))


def test_an_mp4_that_was_never_finished_is_damaged(tmp_path: Path) -> None:
    """Its index is written last, and nothing can be read without."""
    data = encoded(noise(1), "ipod", "aac")
    (tmp_path / "cut.m4a").write_bytes(data[: data.index(b"moov") - 4])
    with pytest.raises(AudioError, match="an MP4 without its index: cut") as caught:
        audio.probe(str(tmp_path / "cut.m4a"))
    assert caught.value.error == "damaged"


def test_a_wav_that_was_too_large_for_its_header_is_damaged(tmp_path: Path) -> None:
    """Its size is written modulo 4 GiB: what was lost of it would be lost in silence."""
    path, header = tmp_path / "long.wav", written(noise(0.1), "WAV")
    with path.open("wb") as file:
        file.write(header)
        file.truncate((1 << 32) + len(header))
    with pytest.raises(AudioError, match="a WAV cannot hold over 4 GiB; write RF64") as caught:
        audio.read(str(path))
    assert caught.value.error == "damaged"


def test_a_flac_of_unknown_length_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "streamed.flac"
    audio.write(str(path), noise(2), RATE)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the total in STREAMINFO, 36 bits
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert audio.read(str(path)).samples.shape == (2, 2 * RATE)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e6])
def test_impossible_samples_are_an_error(tmp_path: Path, bad: float) -> None:
    samples = noise(3)
    samples[1, -1] = bad
    audio.write(str(tmp_path / "bad.wav"), samples, RATE, subtype="FLOAT")
    for how in ({}, {"mono": True}, {"sample_rate": 8192, "mono": True}):
        with pytest.raises(AudioError, match=r"not finite|times full scale"):
            audio.read(str(tmp_path / "bad.wav"), **how)


@pytest.mark.parametrize("size", [1 << 62, (1 << 63) - 200])
def test_a_header_that_points_beyond_any_file_is_an_error(tmp_path: Path, size: int) -> None:
    described = struct.pack(">qd4sIIIII", 32, 44_100.0, b"lpcm", 0, 2, 1, 1, 16)
    path = tmp_path / "far.caf"
    path.write_bytes(
        b"caff\0\1\0\0desc" + described + b"free" + struct.pack(">q", size) + bytes(100)
    )
    with pytest.raises(AudioError, match="points outside itself"):
        audio.read(str(path))


def test_no_samples_is_an_error_and_silence_is_not(tmp_path: Path) -> None:
    audio.write(str(tmp_path / "none.wav"), np.zeros((2, 0), np.float32), RATE)
    audio.write(str(tmp_path / "silent.wav"), np.zeros((2, 100), np.float32), RATE)
    with pytest.raises(AudioError, match="no samples"):
        audio.read(str(tmp_path / "none.wav"))
    assert not audio.read(str(tmp_path / "silent.wav")).samples.any()


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3"])
def test_what_is_written_is_read_back(tmp_path: Path, suffix: str) -> None:
    rate = 48_000
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(3 * rate) / rate)
    path = str(tmp_path / f"deep/tone{suffix}")
    audio.write(path, np.stack([tone, -tone]), rate)
    found = audio.read(path)
    assert found.sample_rate == rate
    assert audio.probe(path).duration_s == pytest.approx(3, abs=0.05)
    assert found.samples.dtype == np.float32
    inside = slice(rate // 10, -rate // 10)  # codecs need a moment to settle
    np.testing.assert_allclose(
        found.samples[:, inside], np.stack([tone, -tone])[:, inside], atol=0.02
    )
    assert [entry.name for entry in Path(path).parent.iterdir()] == [Path(path).name]


@settings(max_examples=25, deadline=None)
@given(
    frames=st.integers(1, 200_000),
    channels=st.integers(1, 2),
    block=st.integers(1_000, 100_000),
)
def test_blocks_join_to_the_file_exactly(frames: int, channels: int, block: int) -> None:
    samples = noise(frames / RATE, channels)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.T, RATE, format="WAV", subtype="FLOAT")
    fsspec.filesystem("memory").pipe("/joined.wav", buffer.getvalue())
    parts = [part.samples for part in audio.blocks("memory://joined.wav", block_frames=block)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), samples)


@pytest.mark.parametrize("channels", [1, 2])
def test_streamed_mixdown_and_resampling_equal_the_whole_signal_at_once(
    tmp_path: Path, channels: int
) -> None:
    samples = noise(5, channels)
    audio.write(str(tmp_path / "n.wav"), samples, RATE, subtype="FLOAT")
    for rate in (8192, 22_050, 48_000):
        mono = audio.read(str(tmp_path / "n.wav"), sample_rate=rate, mono=True)
        expected = audio.resample(samples.mean(axis=0), RATE, rate)
        assert mono.samples.shape == (1, len(expected))
        np.testing.assert_allclose(mono.samples[0], expected, atol=1e-6)
        every = audio.read(str(tmp_path / "n.wav"), sample_rate=rate)
        np.testing.assert_allclose(every.samples, audio.resample(samples, RATE, rate), atol=1e-6)


def test_a_low_mono_read_never_holds_the_full_signal(tmp_path: Path) -> None:
    path = str(tmp_path / "long.flac")
    audio.write(path, np.zeros((2, 300 * RATE), np.int16), RATE)
    tracemalloc.start()
    try:
        found = audio.read(path, sample_rate=8192, mono=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.samples.shape == (1, 300 * 8192)
    assert peak < 2.5 * found.samples.nbytes  # the stereo signal at 44.1 kHz is 10.8 times that


def test_the_five_streams_of_a_stems_file(test_data: Path) -> None:
    (path,) = (test_data / "audio/multitrack/falcon").glob("*.stem.mp4")
    found = audio.streams(str(path))
    assert [(info.sample_rate, info.channels) for info in found] == [(RATE, 2)] * 5
    mixture, *stems = (audio.read(str(path), stream=stream).samples for stream in range(5))
    middle = slice(RATE // 2, 5 * RATE)
    error = (mixture - sum(stems))[:, middle]
    assert np.sum(error**2) < 0.01 * np.sum(mixture[:, middle] ** 2)
    with pytest.raises(AudioError, match="no audio stream 5: the file holds 5"):
        audio.read(str(path), stream=5)


def test_one_stream_is_all_that_a_plain_file_has(tmp_path: Path) -> None:
    audio.write(str(tmp_path / "n.flac"), noise(0.1), RATE)
    assert len(audio.streams(str(tmp_path / "n.flac"))) == 1
    with pytest.raises(AudioError, match="no audio stream 1"):
        audio.read(str(tmp_path / "n.flac"), stream=1)


@pytest.mark.parametrize(("suffix", "codec"), [(".m4a", "alac"), (".mka", "flac")])
def test_formats_of_ffmpeg_are_exact_too(tmp_path: Path, suffix: str, codec: str) -> None:
    tone = np.round(noise(2) * 32_767) / 32_768
    if codec == "alac":
        path = encode(tmp_path / f"n{suffix}", tone.astype(np.float32), codec)
        found = audio.read(str(path)).samples
        np.testing.assert_allclose(found[:, : tone.shape[1]], tone, atol=1e-4)
    else:
        flac = tmp_path / "n.flac"
        audio.write(str(flac), tone, RATE)
        with av.open(str(flac)) as source, av.open(str(tmp_path / "n.mka"), "w") as sink:
            stream = sink.add_stream_from_template(source.streams.audio[0])
            for packet in source.demux(source.streams.audio[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    sink.mux(packet)
        found = audio.read(str(tmp_path / "n.mka")).samples
        np.testing.assert_allclose(found, tone, atol=1e-6)


def test_a_video_without_sound_has_no_audio(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, width=16, height=16)
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(AudioError, match="no audio"):
        audio.read(str(tmp_path / "v.mp4"))


class Failing(io.BytesIO):
    """A connection that breaks after its third read."""

    reads = 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        if self.reads > 3:
            raise ConnectionResetError("connection reset")
        return super().read(size)


@pytest.mark.parametrize("name", ["n.flac", "n.m4a"])
def test_a_broken_connection_is_no_verdict_on_the_file(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    if path.suffix == ".flac":
        audio.write(str(path), noise(5), RATE)
    else:
        encode(path, noise(5), "aac")
    fsspec.filesystem("memory").pipe(f"/{name}", path.read_bytes())
    whole = audio.read(f"memory://{name}")
    assert whole.duration_s == pytest.approx(5, abs=0.1)
    data = path.read_bytes()
    monkeypatch.setattr(opening.files, "open_input", lambda uri, **_: Failing(data))
    with pytest.raises(ConnectionResetError):
        audio.read(f"memory://{name}")


def test_broken_files_are_the_same_errors_from_afar(test_data: Path) -> None:
    memory = fsspec.filesystem("memory")
    for name, reason in BROKEN.items():
        memory.pipe(f"/{name}", (test_data / "audio/broken" / name).read_bytes())
        with pytest.raises(AudioError) as caught:
            audio.read(f"memory://{name}")
        assert reason in str(caught.value)
    with pytest.raises(AudioError, match="no such file"):
        audio.read("memory://gone.flac")


def test_writing_says_what_it_cannot_do(tmp_path: Path) -> None:
    for name, subtype in (("x.txt", None), ("x", None), ("x.flac", "FLOAT"), ("x.wav", "BAD")):
        with pytest.raises(AudioError, match="cannot"):
            audio.write(str(tmp_path / name), noise(0.1), RATE, subtype)
    assert list(tmp_path.iterdir()) == []


def test_integer_files_clip_and_float_files_do_not(tmp_path: Path) -> None:
    loud = np.full((1, 100), 2.6, np.float32)
    audio.write(str(tmp_path / "i.wav"), loud, RATE)
    audio.write(str(tmp_path / "f.wav"), loud, RATE, subtype="FLOAT")
    assert audio.read(str(tmp_path / "i.wav")).samples.max() == pytest.approx(1, abs=1e-3)
    assert audio.read(str(tmp_path / "f.wav")).samples.max() == pytest.approx(2.6)


FULL_DISK = """
import resource, sys
import numpy as np
from stemlode import audio
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 44_100 * 2)).astype(np.float32)
try:
    audio.write(sys.argv[1], noise, 44_100)
except OSError:
    sys.exit(28)
"""


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_a_disk_that_fills_up_is_noticed_to_the_last_byte(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"n{suffix}"
    audio.write(str(path), noise(2), RATE)
    size = path.stat().st_size
    path.unlink()
    for limit in (1000, size // 2, size - 1):
        run = [sys.executable, "-c", FULL_DISK, str(path), str(limit)]
        assert subprocess.run(run, check=False, capture_output=True).returncode == 28
        assert list(tmp_path.iterdir()) == []


def test_remote_files_are_written_too() -> None:
    audio.write("memory://out/n.flac", noise(1), RATE)
    np.testing.assert_allclose(audio.read("memory://out/n.flac").samples, noise(1), atol=1 / 32_767)


@pytest.mark.parametrize("rate", [1, 999, 2**31 - 1])
def test_a_rate_that_no_recording_has_is_an_error(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "x.wav", noise(0.01).T, rate)
    with pytest.raises(AudioError, match=r"damaged: a sample rate of [\d,]+ Hz"):
        audio.read(str(tmp_path / "x.wav"), sample_rate=44_100)


def test_a_name_that_no_disk_takes_and_a_circle_of_links_are_errors(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for path in ("x" * 5000, str(tmp_path / "circle"), "reference://"):
        with pytest.raises(AudioError):
            audio.read(path)


class _Down(http.server.BaseHTTPRequestHandler):
    """A web server that knows one thing."""

    def do_GET(self) -> None:
        self.send_error(404 if self.path == "/gone.wav" else 503)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


def test_a_web_server_that_is_down_is_no_verdict_on_the_file() -> None:
    pytest.importorskip("aiohttp")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Down) as server:
        threading.Thread(target=server.serve_forever).start()
        at = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(AudioError, match="no such file"):
            audio.read(f"{at}/gone.wav")
        with pytest.raises(OSError, match="cannot be reached"):
            audio.read(f"{at}/a.wav")
        server.shutdown()
    with pytest.raises(OSError, match="cannot be reached"):
        audio.read(f"{at}/a.wav")


def test_vorbis_is_what_libsndfile_makes_of_it(test_data: Path, tmp_path: Path) -> None:
    """FFmpeg decodes it in half the time; the samples must be the same, to the last one."""
    whole = test_data / "audio/instrumental/Awakening.ogg"
    mono = tmp_path / "mono.ogg"
    audio.write(str(mono), noise(3, 1), RATE)
    for path in (whole, mono):
        expected, rate = soundfile.read(path, dtype="float32", always_2d=True)
        found = audio.read(str(path))
        assert found.sample_rate == rate
        np.testing.assert_allclose(found.samples, expected.T, atol=1e-5)


def test_ogg_that_ends_early_or_has_a_hole(test_data: Path, tmp_path: Path) -> None:
    data = (test_data / "audio/instrumental/Awakening.ogg").read_bytes()
    path, middle = tmp_path / "n.ogg", len(data) // 2
    path.write_bytes(data[:middle])  # Ogg states no length: what is there is read
    assert audio.read(str(path)).duration_s == pytest.approx(106.4, abs=0.1)
    path.write_bytes(data[:middle] + bytes(200_000) + data[middle + 200_000 :])
    with pytest.raises(AudioError, match=r"truncated or damaged: .* of 208\.0 s decodable"):
        audio.read(str(path))
