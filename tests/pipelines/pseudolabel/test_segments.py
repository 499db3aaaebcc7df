"""Tracks cut into the segments that sound, decoded ahead in processes of their own."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.pseudolabel import segments
from pipelines.pseudolabel.segments import Cut, Segmenter
from pipelines.samples.recordings import Unusable
from stemlode import audio
from stemlode.audio import AudioError
from tests.pipelines.pseudolabel import unlabelled_music as music

RATE = music.RATE


def cut(**facts: object) -> Cut:
    known = {"sample_rate": RATE, "channels": 2, "segment_s": 3.0, "window_s": 6.0}
    return Cut(**{**known, "batch_size": 4, "lossless_only": False, **facts})  # type: ignore[arg-type]


@pytest.fixture
def listener() -> Iterator[Segmenter]:
    made = Segmenter(cut())
    yield made
    made.close()


def test_segments_are_the_track(listener: Segmenter, tmp_path: Path) -> None:
    path = tmp_path / "track.wav"
    music.write(path, music.both(20.5, 1), subtype="FLOAT")
    heard = listener.hear(str(path))
    assert heard.segments == 6
    assert heard.active == [number * 48_000 for number in range(6)]
    found = segments.mixtures(heard.samples, heard.active, listener.cut)
    whole = music.both(20.5, 1)[: 6 * 48_000]
    assert found.shape == (6, 2, 48_000)
    assert np.array_equal(np.concatenate(list(found), axis=1), whole.T)


class Held:
    """Frames as a decoder holds them."""

    def __init__(self, frames: np.ndarray) -> None:
        self.frames = frames.astype(np.float32)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, place: slice) -> np.ndarray:
        return self.frames[place].T


def heard(frames: np.ndarray, track_id: str = "", **facts: object) -> segments.Segmented:
    return segments.heard(Held(frames), cut(**facts), track_id)  # type: ignore[arg-type]


def test_a_seed_and_a_track_decide_where_segments_begin() -> None:
    frames = music.both(20.5, 1)
    begins, again, other = (
        [heard(frames, str(n), window_s=0.0, offset_seed=seed).active[0] for n in range(100)]
        for seed in (3, 3, 4)
    )
    assert begins == again
    assert sum(one == two for one, two in zip(begins, other, strict=True)) < 5
    assert len({*begins}) > 90 and max(begins) < 48_000
    assert 0.35 < np.mean(begins) / 48_000 < 0.65
    found = heard(frames, offset_seed=3)
    assert {*np.diff(found.active)} == {48_000}
    assert found.active[-1] + 48_000 <= len(frames) < found.active[-1] + 2 * 48_000
    assert found.segments == len(found.active)


@pytest.mark.parametrize("spare", [0, 1, 300])
def test_a_track_of_hardly_more_than_a_segment_gives_one(spare: int) -> None:
    frames = music.both(4, 1)[: 48_000 + spare]
    for name in range(20):
        found = heard(frames, str(name), offset_seed=0)
        assert found.segments == 1 and 0 <= found.active[0] <= spare


def test_a_quiet_track_is_cut_as_a_loud_one_is() -> None:
    frames = music.both(20.5, 1)
    assert heard(0.01 * frames).active == heard(frames).active
    with pytest.raises(Unusable, match="nothing is salient"):
        heard(0.01 * frames, activity_threshold="-30")


@pytest.mark.parametrize(("channels", "given"), [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_channels_are_those_of_the_teacher(channels: int, given: int, tmp_path: Path) -> None:
    path = tmp_path / "track.wav"
    track = music.both(7, 1, channels=given)
    music.write(path, track, subtype="FLOAT")
    listener = Segmenter(cut(channels=channels))
    heard = listener.hear(str(path))
    listener.close()
    (first, _) = segments.mixtures(heard.samples, heard.active, listener.cut)
    wanted = track[:48_000].T
    wanted = (
        wanted.mean(0, keepdims=True) if channels == 1 else np.broadcast_to(wanted, (2, 48_000))
    )
    assert np.allclose(first, wanted, atol=1e-7)


def test_a_track_of_more_channels_is_mixed_down_as_everywhere(
    listener: Segmenter, tmp_path: Path
) -> None:
    path = tmp_path / "track.wav"
    music.write(path, np.tile(music.both(7, 1), 4))
    heard = listener.hear(str(path))
    expected = audio.read(str(path)).samples[:, :48_000]
    assert np.allclose(heard.samples[:48_000], expected, atol=1e-6)


def test_pauses_are_left_out(listener: Segmenter, tmp_path: Path) -> None:
    pause = np.zeros((30 * RATE, 2), np.float32)
    path = tmp_path / "track.wav"
    music.write(path, np.concatenate([music.deep(30, 1), pause, music.deep(30, 2)]))
    heard = listener.hear(str(path))
    starts = [first / RATE for first in heard.active]
    # A window of 6 s is salient where more than half of it sounds.
    assert starts == [start for start in range(0, 90, 3) if not 30 <= start < 60]
    everything = segments.heard(heard.samples, cut(window_s=0.0))
    assert len(everything.active) == 30


def test_silence_and_scraps_are_unusable(listener: Segmenter, tmp_path: Path) -> None:
    music.write(tmp_path / "silence.wav", np.zeros((10 * RATE, 2)))
    music.write(tmp_path / "scrap.wav", music.deep(0.2, 1))
    with pytest.raises(Unusable, match="nothing is salient") as silent:
        listener.hear(str(tmp_path / "silence.wav"))
    assert silent.value.error == "silent"
    with pytest.raises(Unusable, match=r"0\.20 s: a segment takes 3 s"):
        listener.hear(str(tmp_path / "scrap.wav"))
    with pytest.raises(AudioError, match="no audio_uri"):
        listener.hear("")


@pytest.mark.parametrize(
    ("name", "lossless"),
    [("a.flac", True), ("a.WAV", True), ("a.ogg", False), ("a.mp3", False), ("a", True),
     ("ulaw.wav", False)],
)  # fmt: skip
def test_lossless_by_codec_whatever_the_name(name: str, lossless: bool, tmp_path: Path) -> None:
    kinds = {"ogg": ("OGG", "VORBIS"), "mp3": ("MP3", "MPEG_LAYER_III"), "flac": ("FLAC", "PCM_16")}
    form, subtype = kinds.get(name.rpartition(".")[2], ("WAV", "PCM_16"))
    subtype = "ULAW" if "ulaw" in name else subtype
    soundfile.write(tmp_path / name, music.deep(7, 1), RATE, format=form, subtype=subtype)
    listener = Segmenter(cut(lossless_only=True))
    try:
        if lossless:
            assert listener.hear(str(tmp_path / name)).segments == 2
        else:
            with pytest.raises(Unusable, match="not lossless"):
                listener.hear(str(tmp_path / name))
    finally:
        listener.close()


def test_a_container_is_lossless_by_what_it_holds(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    for name, codec, lossless in (
        ("a.m4a", "alac", True),
        ("a.m4b", "alac", True),
        ("b.m4a", "aac", False),
    ):
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=RATE, layout="stereo")
            samples = (music.deep(7, 1).T * 32767).astype(np.int16)
            form = "s16p" if codec == "alac" else "fltp"
            given = samples if codec == "alac" else samples.astype(np.float32) / 32768
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(given), form, "stereo")
            frame.sample_rate = RATE
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
        listener = Segmenter(cut(lossless_only=True))
        try:
            if lossless:
                assert listener.hear(str(path)).segments == 2
            else:
                with pytest.raises(Unusable, match="aac: not lossless"):
                    listener.hear(str(path))
        finally:
            listener.close()


def test_stretches_are_whole_batches() -> None:
    firsts = list(range(75))
    for size in (1, 4, 5, 32, 50):
        found = segments.stretches(firsts, cut(batch_size=size))
        assert [first for stretch in found for first in stretch] == firsts
        assert all(len(stretch) % size == 0 for stretch in found[:-1])
