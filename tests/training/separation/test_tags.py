"""What a song's file says travels to its stems, as far as their format has room for it."""

import io
import tempfile
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from stemlode import audio
from stemlode.runs import Failed
from tests.training.conftest import sing
from training.separation import command, formats, tags

WORDS = {"title": "Só o Título", "artist": "A & B", "album": "Äther", "date": "1999"}
WORDS |= {"genre": "Folk", "track": "3/9", "comment": "two\nlines"}
MORE = {"album_artist": "All", "composer": "C", "disc": "2"}  # which RIFF does not know
RATE = 44_100


def _picture() -> bytes:
    """A small JPEG."""
    made = io.BytesIO()
    with av.open(made, "w", format="image2pipe") as sink:
        stream = sink.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuvj420p"
        frame = av.VideoFrame.from_ndarray(np.full((16, 32, 3), 90, np.uint8), format="rgb24")
        sink.mux(stream.encode(frame.reformat(format="yuvj420p")))
        sink.mux(stream.encode(None))
    return made.getvalue()


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MP3 with tags and a cover, as a shop sells them."""
    folder = tmp_path_factory.mktemp("tagged")
    samples = sum(sing(3, 0.6, RATE))
    cover = tags.Cover("image/jpeg", _picture(), 32, 16)
    with av.open(str(folder / "song.mp3"), "w") as sink:
        stream = sink.add_stream("libmp3lame", rate=RATE, layout="stereo")
        sink.metadata.update({**WORDS, **MORE, "replaygain_track_gain": "-9 dB"})
        sink.mux(tags.add_cover(sink, cover))
        for at in range(0, samples.shape[1], 1152):
            part = np.ascontiguousarray(samples[:, at : at + 1152])
            frame = av.AudioFrame.from_ndarray(part, "fltp", "stereo")
            frame.sample_rate, frame.pts = RATE, at
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
    return folder / "song.mp3"


@pytest.mark.parametrize(
    ("form", "covered"),
    [
        ("mp3", True),
        ("m4a", True),
        ("opus", True),
        ("flac", True),
        ("ogg", True),
        ("wav", False),
        ("wav16", False),
    ],
)
def test_tags_and_cover_travel_along(
    song: Path, tiny_checkpoint: Path, tmp_path: Path, form: str, covered: bool
) -> None:
    words = ["--format", form.removesuffix("16"), "--stems", "vocals", "--name", "{track}.{ext}"]
    words += ["--bits", "16"] if form == "wav16" else []
    words += [str(song), "--checkpoint", str(tiny_checkpoint), "--output", str(tmp_path / "out")]
    assert command.main(words) == 0
    (path,) = (tmp_path / "out").glob("song.*")
    found, known = tags.read(str(path)), tags.read(str(song))
    assert known.words == WORDS | MORE and known.cover is not None
    wanted = WORDS if form.startswith("wav") else WORDS | MORE
    assert {name: said.split("/")[0] for name, said in found.words.items()} == {
        name: said.split("/")[0] for name, said in wanted.items()
    }
    assert (found.cover == known.cover) if covered else found.cover is None
    frames = audio.read(str(song)).samples.shape[1]
    assert abs(audio.read(str(path)).duration_s - frames / RATE) < 0.05


@pytest.mark.parametrize("form", ["flac", "ogg"])
@pytest.mark.parametrize("frames", [1, 60_000])
def test_sound_stays_as_it_is_where_tags_are_added(form: str, frames: int, tmp_path: Path) -> None:
    made = []
    for name, said in (("plain", tags.Tags()), ("tagged", tags.Tags({"composer": "C"}))):
        with tempfile.TemporaryFile() as file:
            held = formats.Held(file, 2, RATE)
            held.add(sing(3, 2, RATE)[0][:, :frames])
            path = tmp_path / f"{name}.{form}"
            held.write(str(path), formats.Form.of(form, None, formats.RESCALE, None), 1.0, said)
        made.append(soundfile.read(path)[0])
    assert len(made[0]) == frames and np.array_equal(*made)


def test_what_is_hostile_is_left_behind(tmp_path: Path) -> None:
    assert tags.read(str(tmp_path / "none")) == tags.Tags()
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 9)
    assert tags.read(str(tmp_path / "noise")) == tags.Tags()
    long = tags._words({"TITLE": "x" * 10**6, "ARTIST": "a\0b", "lyrics": "no", "COMMENT": " "})
    assert long == {"title": "x" * tags.LONGEST_WORD, "artist": "a b"}


def test_a_shop_s_song_stays_a_reject_where_its_sound_is_none(
    song: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.mp3"
    cut.write_bytes(song.read_bytes()[:900])  # tags, and no sound
    with pytest.raises(Failed, match="1 of 1 inputs could not be separated"):
        command.main(
            [str(cut), "--checkpoint", str(tiny_checkpoint), "--output", str(tmp_path / "o")]
        )
