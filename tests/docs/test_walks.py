"""The pages' commands run in order, as a reader would type them, on real music.

What a reader would wait hours for is cut short: small siblings of recipes, a few steps.
"""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from stemlode import audio, cli
from tests.docs.commands import blocks, lines

SECONDS = 14
SONG_S = 24  # of a pair: two chunks of a corpus
SHORT = {"train": ("--steps", "3"), "finetune": ("--steps", "2")}
# Another machine's, a page that waits for a listener, and a check that takes its minutes.
LEFT_OUT = ("gs://", "project.dataset", "stemlode review", "torchrun", "--overfit-one-batch")
# What a page begins with, and the page and the folder from which it has that.
BEGINS_WITH = {
    "docs/data-engineers.md": {
        "candidates": ("docs/tutorial.md", "candidates"),
        "tracks.parquet": ("docs/tutorial.md", "tracks"),
    },
    "docs/fine-tuners.md": {
        "musdb": ("docs/ml-engineers.md", "musdb"),
        "model": ("docs/ml-engineers.md", "vocals"),
    },
}
WALKS = (
    "docs/tutorial.md",
    "README.md",
    "docs/ml-engineers.md",
    "docs/data-engineers.md",
    "docs/fine-tuners.md",
)
STEMS = ("vocals", "drums", "bass", "other")


@pytest.fixture(scope="module")
def music(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of songs with their instrumentals; and songs as MUSDB18-HQ has them."""
    place = tmp_path_factory.mktemp("music")
    (place / "music").mkdir()
    names = {
        "so_easy": "The Easy Ones - So Easy",
        "mallory": "Mallory - Ghost",
        "song1_planetblupi_sung": "Planet Blupi - Song One",
        "song2_rap_92bpm": "MC Ninety-Two - Rap",
    }
    for folder, name in names.items():
        files = {file.stem: file for file in (test_data / "audio/multitrack" / folder).iterdir()}
        heard = {stem: audio.read(str(file)) for stem, file in files.items()}
        rest = [stem for stem in heard if stem not in ("mixture", "vocals")]
        rate = heard["mixture"].sample_rate
        backing = sum(heard[stem].samples for stem in rest)
        for title, samples in (
            (name, heard["mixture"].samples),
            (f"{name} (Instrumental)", backing),
        ):
            part = samples[:, : round(SONG_S * rate)]
            soundfile.write(place / "music" / f"{title}.flac", part.T, rate)
        if "drums" in heard:
            for split, title in (
                ("train", name),
                ("train", "Actions - One Minute Smile"),  # one of the data set's valid songs
                ("test", name.upper()),
            ):
                song = place / "MUSDB18HQ" / split / title
                song.mkdir(parents=True, exist_ok=True)
                for stem in ("mixture", *STEMS):
                    start = round(rate * (8 if split == "train" else 24))
                    piece = heard[stem].samples[:, start : start + round(SECONDS * rate)]
                    soundfile.write(song / f"{stem}.wav", piece.T, rate)
    return place


def as_run(line: str, home: Path) -> Iterator[str]:
    """A command's words, with what is long cut short."""
    words = [
        str(home / word[2:]) if word.startswith("~/") else word
        for word in shlex.split(line, comments=True)
    ]
    if words[:2] == ["stemlode", "train"] and not words[2].endswith("-small"):
        words[2] += "-small"
    if "module:function" in words:
        words[words.index("module:function")] = "tests.training.teachers.spleeter:two_stems"
    if "--steps" in words:
        place = words.index("--steps")
        del words[place : place + 2]
    yield from words[1:]
    if "--print" not in words:
        yield from SHORT.get(words[1], ())


@pytest.mark.slow
def test_every_page_s_commands_do_what_it_says(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("Music", "Unlabelled"):
        (tmp_path / name).symlink_to(music / "music")
    for page in WALKS:
        place = tmp_path / page.replace("/", "-")
        place.mkdir()
        for name in ("music", "MUSDB18HQ"):
            (place / name).symlink_to(music / name)
        (place / "song.mp3").symlink_to(music / "music" / "Mallory - Ghost.flac")
        for name, (whence, folder) in BEGINS_WITH.get(page, {}).items():
            (place / name).symlink_to(tmp_path / whence.replace("/", "-") / folder)
        monkeypatch.chdir(place)
        for line in (line for block in blocks(page) for line in lines(block)):
            if line.startswith("stemlode ") and not any(word in line for word in LEFT_OUT):
                status = cli.main([*as_run(line, tmp_path)])
                assert status == 0, (page, line, capfd.readouterr().err)
