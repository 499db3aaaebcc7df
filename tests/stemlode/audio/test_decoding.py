"""A decoder that hangs, crashes or eats memory costs one file, and leaves nothing behind."""

import contextlib
import errno
import gc
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemlode import audio
from stemlode.audio import AudioError, decoding, decoding_process
from stemlode.audio.decoding import Decoder, DecoderError
from stemlode.runs import Failed
from tests.stemlode.audio import hostile_decoder

RATE = 8192


@pytest.fixture(scope="module")
def shared() -> Iterator[Decoder]:
    """One process for all tests that do not end it."""
    decoder = Decoder(RATE)
    yield decoder
    decoder.close()


@pytest.fixture
def hostile() -> Iterator[Decoder]:
    decoder = Decoder(RATE, hostile_decoder.COMMAND)
    yield decoder
    decoder.close()


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    path = tmp_path / "tone.flac"
    _write(path)
    return path


def _write(path: Path, seconds: float = 4.0) -> None:
    time_s = np.arange(round(seconds * 44_100)) / 44_100
    with path.open("wb") as file:
        soundfile.write(file, np.sin(2 * np.pi * 440 * time_s), 44_100, format="FLAC")


def _pid(decoder: Decoder) -> int:
    assert decoder._process is not None
    return decoder._process.pid


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_what_comes_back_is_what_audio_reads(shared: Decoder, test_data: Path) -> None:
    folder = test_data / "audio"
    for name in ("multitrack/so_easy/mixture.mp3", "voice/vocadito_1.wav"):
        path = str(folder / name)
        found = shared.decode(path)
        expected = audio.read(path, sample_rate=RATE, mono=True)
        assert len(found.samples) == expected.samples.shape[1]
        assert found.duration_s == expected.duration_s
        assert found.cpu_s > 0
        np.testing.assert_array_equal(found.samples[:], expected.samples[0])


def test_slices_are_those_of_an_array(shared: Decoder, tone: Path) -> None:
    samples = shared.decode(str(tone)).samples
    whole = samples[:]
    assert whole.dtype == np.float32 and whole.flags.writeable
    for part in (slice(3, 10), slice(-5, None), slice(10, 3), slice(None, 10**9), slice(-3, -1)):
        np.testing.assert_array_equal(samples[part], whole[part])
    with pytest.raises(ValueError, match="step"):
        samples[::2]


def test_one_process_reads_many_files_and_keeps_none(shared: Decoder, tone: Path) -> None:
    before = _pid_after(shared, tone)
    held = _open_files()
    found = [shared.decode(str(tone)).samples for _ in range(5)]
    assert _pid(shared) == before
    assert _open_files() == held + 5
    del found
    gc.collect()
    assert _open_files() == held


def _open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def _pid_after(decoder: Decoder, path: Path) -> int:
    decoder.decode(str(path))
    return _pid(decoder)


def test_a_bad_file_is_the_same_error_as_in_this_process(
    shared: Decoder, test_data: Path, tmp_path: Path
) -> None:
    broken = sorted((test_data / "audio/broken").iterdir())
    for path in [*broken, tmp_path / "gone.wav", tmp_path, tmp_path / "nul\0l.wav"]:
        try:
            expected = ""
            audio.read(str(path), sample_rate=RATE, mono=True)
        except AudioError as error:
            expected = str(error)
        if expected:
            with pytest.raises(AudioError) as caught:
                shared.decode(str(path))
            assert str(caught.value) == expected
            assert not isinstance(caught.value, DecoderError)


@pytest.mark.parametrize(
    "name",
    ["new\nline.flac", "a::b.flac", '"}\\.flac', "$(touch x).flac", os.fsdecode(b"\xff.flac"),
     "-m.flac", "é ａ́.flac", "x" * 250],
)  # fmt: skip
def test_any_name_reaches_the_other_process(shared: Decoder, tmp_path: Path, name: str) -> None:
    _write(tmp_path / name)
    assert shared.decode(str(tmp_path / name)).duration_s == pytest.approx(4)
    with pytest.raises(AudioError):
        shared.decode("long" * 100_000)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("segfaults", "SIGSEGV"), ("late killed", "SIGKILL"), ("hungry", "status 1"),
        ("buggy", "status 1"),
    ],
)  # fmt: skip
def test_a_crash_costs_one_file(hostile: Decoder, tone: Path, name: str, why: str) -> None:
    _write(tone.with_stem(name))
    with pytest.raises(DecoderError, match=f"crashed on it .{why}") as caught:
        hostile.decode(str(tone.with_stem(name)))
    assert caught.value.error == "crashed"
    assert hostile.decode(str(tone)).duration_s == pytest.approx(4)


def test_a_crash_that_does_not_come_again_costs_nothing(hostile: Decoder, tone: Path) -> None:
    _write(tone.with_stem("once"))
    assert hostile.decode(str(tone.with_stem("once"))).duration_s == pytest.approx(4)
    os.kill(_pid(hostile), signal.SIGKILL)  # between two files
    assert hostile.decode(str(tone)).duration_s == pytest.approx(4)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_decoder_that_hangs_is_killed(
    hostile: Decoder, tone: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    hostile.decode(str(tone))
    monkeypatch.setattr(decoding, "limit_s", lambda seconds: 0.2 + 0.5 * seconds)
    monkeypatch.setattr(decoding, "AGAIN_AFTER_S", ())
    hanging = tone.with_stem("hangs")
    _write(hanging)
    pid = _pid(hostile)
    if stopped:
        os.kill(pid, signal.SIGSTOP)
    with pytest.raises(DecoderError, match=r"not decoded within 0 s: given up") as caught:
        hostile.decode(str(hanging))
    assert caught.value.error == "timeout"
    assert not _is_running(pid)
    monkeypatch.undo()
    assert hostile.decode(str(tone)).duration_s == pytest.approx(4)


@pytest.mark.slow
def test_the_limit_grows_with_the_audio_that_has_come_out(
    hostile: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert decoding_process.limit_s(0) == 30
    assert decoding_process.limit_s(3600) == 210
    monkeypatch.setattr(decoding, "limit_s", lambda seconds: 0.8 + seconds / 3)
    path = tmp_path / "late hangs.flac"
    _write(path, seconds=8)
    hostile._start()
    begun = time.monotonic()
    monkeypatch.setattr(decoding, "AGAIN_AFTER_S", ())
    with pytest.raises(DecoderError, match=r"given up after [1-4] s of audio"):
        hostile.decode(str(path))
    assert time.monotonic() - begun > 1.2  # more than the limit of a file that gave nothing


def test_a_small_file_that_decodes_for_ever_is_given_up(hostile: Decoder, tone: Path) -> None:
    _write(tone.with_stem("endless"))
    with pytest.raises(AudioError, match="longer than 1 hours"):
        hostile.decode(str(tone.with_stem("endless")))
    assert hostile.decode(str(tone)).duration_s == pytest.approx(4)


ORPHAN = """
import os, signal, sys
from stemlode.audio.decoding import Decoder
decoder = Decoder(8192, sys.argv[2:])
decoder.decode(sys.argv[1])
print(decoder._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_worker_leaves_no_process_and_no_file(tone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN, str(tone), *hostile_decoder.COMMAND],
        capture_output=True, text=True, check=False, env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    for _ in range(6000):
        if not _is_running(int(done.stdout)):
            break
        time.sleep(0.01)
    assert not _is_running(int(done.stdout))
    assert list(folder.iterdir()) == []


def test_an_orphan_that_hangs_dies_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "import signal, time; from stemlode.audio import decoding_process as d; d.LIMIT_S = 0.0\n"
    )
    script += "d._die_late(time.monotonic(), 0)\nwhile True: pass"
    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=600)
    assert done.returncode == -signal.SIGALRM


def test_a_full_disk_ends_the_run_and_says_what_to_do(
    tone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "import resource, sys; from stemlode.audio import decoding_process as d\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); d.serve(int(sys.argv[1]))"
    )
    decoder = Decoder(RATE, [sys.executable, "-c", script])
    with pytest.raises(Failed, match=r"temporary folder .*: File too large; free some space"):
        decoder.decode(str(tone))
    decoder.close()
    monkeypatch.setattr(decoding.tempfile, "TemporaryFile", _no_space)
    with pytest.raises(Failed, match=r"temporary folder .*No space left on device; free some"):
        Decoder(RATE).decode(str(tone))


def _no_space() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_decoder_that_does_not_start_ends_the_run(tone: Path) -> None:
    for command in ([sys.executable, "-c", "raise ImportError('no soundfile')"],
                    [sys.executable, "-c", "print()"]):  # fmt: skip
        with pytest.raises(Failed, match=r"does not start: (ImportError: no soundfile|no word)"):
            Decoder(RATE, command).decode(str(tone))


def test_what_may_pass_is_no_verdict(shared: Decoder) -> None:
    with pytest.raises(OSError, match="cannot be reached"):
        shared.decode("http://127.0.0.1:9/song.mp3")


class _Slow(http.server.BaseHTTPRequestHandler):
    """A file that comes in pieces, each `pause_s` after the other; `stalls` stops half-way."""

    data, pause_s, stalls = b"", 0.1, threading.Event()

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.data)))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        step = len(self.data) // 8
        with contextlib.suppress(OSError):
            for start in range(0, len(self.data), step):
                time.sleep(self.pause_s)
                if self.stalls.is_set() and start > 3 * step:
                    time.sleep(20)
                self.wfile.write(self.data[start : start + step])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def slow_server(tone: Path) -> Iterator[str]:
    _Slow.data = tone.read_bytes()
    _Slow.stalls.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Slow) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/tone.flac"
        server.shutdown()


def test_a_slow_network_uses_up_none_of_the_decoders_time(
    shared: Decoder, tone: Path, slow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared.decode(str(tone))
    monkeypatch.setattr(decoding, "limit_s", lambda seconds: 0.4)
    begun = time.monotonic()
    found = shared.decode(slow_server)
    assert time.monotonic() - begun > 0.8
    np.testing.assert_array_equal(found.samples[:], shared.decode(str(tone)).samples[:])


@pytest.mark.slow
def test_a_stalled_network_is_no_verdict(
    tone: Path, slow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = Decoder(RATE)
    decoder.decode(str(tone))
    pid = _pid(decoder)
    _Slow.stalls.set()
    monkeypatch.setattr(decoding, "STALL_S", 1.5)
    with pytest.raises(OSError, match="no byte in 2 s") as caught:
        decoder.decode(slow_server)
    assert not isinstance(caught.value, AudioError)
    assert not _is_running(pid)
    _Slow.stalls.clear()
    assert decoder.decode(slow_server).duration_s == pytest.approx(4)
    decoder.close()


def test_a_remote_file_that_never_ends_is_given_up(tone: Path, slow_server: str) -> None:
    script = (
        "import sys; from stemlode.audio import decoding_process as d\n"
        "d.LARGEST_BYTES = 1000; d.serve(int(sys.argv[1]))"
    )
    decoder = Decoder(RATE, [sys.executable, "-c", script])
    with pytest.raises(AudioError, match="larger than 0 GiB"):
        decoder.decode(slow_server)
    assert decoder.decode(str(tone)).duration_s == pytest.approx(4)
    decoder.close()


def test_messages_that_arrive_together_are_read_one_by_one() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sent = [{"fetching": True}, {"seconds": 7.5}, {"frames": 3, "cpu_s": 0.1}]
        for message in sent:
            decoding_process.send(theirs, message)
        assert [decoding_process.receive(ours, 5.0) for _ in sent] == sent


@pytest.mark.parametrize("uri", ["smb://host/a.wav", "git://a.wav"])
def test_a_scheme_that_nothing_here_reads_costs_one_reject(shared: Decoder, uri: str) -> None:
    with pytest.raises(AudioError, match=r"cannot be opened: .*nstall"):
        shared.decode(uri)


def test_a_start_takes_no_beam_and_no_torch() -> None:
    script = "import sys, stemlode.audio.decoding_process; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not {"apache_beam", "torch", "librosa", "pyarrow"} & set(done.stdout.split())


def test_two_channels_lie_one_after_the_other_as_they_are_or_as_mid_and_side(
    tmp_path: Path,
) -> None:
    path = tmp_path / "noise.wav"
    samples = np.random.default_rng(0).standard_normal((2 * RATE, 2)).astype(np.float32)
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    left, right = samples.T
    for mid_side, want in ((False, [left, right]), (True, [left + right, left - right])):
        decoder = Decoder(RATE, channels=2, mid_side=mid_side)
        found = decoder.decode(str(path)).samples
        decoder.close()
        expected = np.stack(want) / (2 if mid_side else 1)
        assert len(found) == 2 * RATE and found.channels == 2
        np.testing.assert_allclose(found[:], expected, atol=1e-6)
        np.testing.assert_array_equal(found[5:0], np.zeros((2, 0)))
        for number in (0, 1):
            one = found.channel(number)
            assert len(one) == 2 * RATE
            np.testing.assert_allclose(one[100:-7], expected[number, 100:-7], atol=1e-6)
