"""One verdict on a name and one on a codec, whichever verb asks."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.catalogue import scan
from pipelines.pseudolabel.segments import Cut, Segmenter
from pipelines.samples.recordings import Unusable
from stemlode.audio import kinds
from stemlode.layouts.songs import songs_by_folder
from training.finetuning import unlabelled
from training.recipes.registry import RECIPES

RATE = 16_000


@pytest.mark.parametrize(
    ("kind", "lossless"),
    [("WAV/PCM_16", True), ("WAV/ULAW", False), ("FLAC/PCM_24", True), ("OGG/VORBIS", False),
     ("WAVEX/FLOAT", True), ("mov/alac", True), ("mov/aac", False), ("WAV/IMA_ADPCM", False),
     ("ape/ape", True), ("AIFF/PCM_16", True), ("MP3/MPEG_LAYER_III", False), ("tta/tta", True),
     ("matroska/flac", True), ("aiff/pcm_alaw", False), ("wav/pcm_mulaw", False),
     ("CAF/ALAC_24", True), ("asf/wmalossless", True), ("asf/wmav2", False),
     ("mp3/mp3float", False), ("WAV/G721_32", False), ("mpc8/mpc8", False), ("XI/DPCM_8", False),
     ("ogg/opus", False)],
)  # fmt: skip
def test_lossless_is_what_keeps_every_sample(kind: str, lossless: bool) -> None:
    assert kinds.is_lossless(kind) == lossless


@pytest.mark.parametrize(
    ("path", "named"),
    [("a/b.flac", True), ("gs://x/B.M4B", True), ("song.mpc", True), ("song.txt", False),
     ("vocals.w64", True), ("mixture.AU", True), ("film.mkv", False),
     ("flac", False), ("a.flac/cover", False), (".flac", False), ("song.flac.part", False)],
)  # fmt: skip
def test_audio_by_name(path: str, named: bool) -> None:
    assert kinds.is_named_audio(path) == named


def test_every_verb_gives_a_folder_the_same_verdict(tmp_path: Path) -> None:
    names = [f"{number}.{ending}" for number, ending in enumerate(kinds.EXTENSIONS)]
    names += ["BOOK.M4B", "cover.jpg", "notes.txt", "flac", "log.flac.part"]
    folder = tmp_path / "song"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"")
    listed = scan.listed(str(folder), {*kinds.EXTENSIONS})
    scanned = [Path(path).name for path in listed if isinstance(path, str)]
    finetuned = [Path(path).name for path in unlabelled.paths(str(folder))]
    ((_, of_song),) = songs_by_folder(str(tmp_path), [str(folder / name) for name in names])
    corpus = [Path(path).name for path in of_song]
    assert sorted(scanned) == sorted(finetuned) == sorted(corpus) == sorted(names[:-4])


@pytest.mark.parametrize(
    ("path", "bare"),
    [("a/vocals.WV", "a/vocals"), ("a/b.txt", "a/b.txt"), ("a.flac/b", "a.flac/b")],
)
def test_only_an_ending_of_audio_is_taken_off(path: str, bare: str) -> None:
    assert kinds.without_extension(path) == bare


@pytest.mark.parametrize(
    ("name", "form", "subtype", "lossless"),
    [
        ("plain.wav", "WAV", "PCM_16", True),
        ("mu-law.wav", "WAV", "ULAW", False),
        ("named.mp3", "FLAC", "PCM_16", True),
        ("named.flac", "OGG", "VORBIS", False),
        ("a.aiff", "AIFF", "ALAW", False),
    ],
)
def test_pseudolabel_and_finetune_agree_on_what_is_lossless(
    name: str, form: str, subtype: str, lossless: bool, tmp_path: Path
) -> None:
    path = str(tmp_path / name)
    noise = 0.1 * np.random.default_rng(0).standard_normal((7 * RATE, 2))
    soundfile.write(path, noise, RATE, format=form, subtype=subtype)
    model = RECIPES["bsrnn-vocals"]
    (found,) = unlabelled.survey({path: unlabelled.UNKNOWN}, model, lossless_only=True, workers=0)
    assert found.reason.startswith("lossy") != lossless
    listener = Segmenter(Cut(RATE, 2, 3.0, 0.0, 4, lossless_only=True))
    try:
        if lossless:
            assert listener.hear(path).segments
        else:
            with pytest.raises(Unusable, match=f"(?i){form}/{subtype}: not lossless"):
                listener.hear(path)
    finally:
        listener.close()
