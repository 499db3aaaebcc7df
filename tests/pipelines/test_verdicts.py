"""Every verb that decodes gives a bad file the same word."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile

from matching.sound.decisions import Thresholds
from matching.sound.scores import Settings
from pipelines.prune import scoring
from pipelines.pseudolabel.segments import Cut, Segmenter
from pipelines.samples import chunks
from pipelines.samples.chunks import AlignedSource
from stemlode import audio
from stemlode.audio import AudioError

RATE = 16_000


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of each kind, named after its word."""
    root = tmp_path_factory.mktemp("bad")
    noise = 0.1 * np.random.default_rng(0).standard_normal((8 * RATE, 2))
    (root / "unreadable").write_text("these are words")
    (root / "empty").touch()
    soundfile.write(root / "whole.flac", noise, RATE)
    (root / "damaged").write_bytes((root / "whole.flac").read_bytes()[:150_000])
    noise[RATE:] = np.nan
    soundfile.write(root / "damaged.wav", noise, RATE, subtype="FLOAT")
    return root


@pytest.mark.parametrize("name", ["unreadable", "empty", "damaged", "damaged.wav", "missing"])
def test_one_word_for_a_bad_file(bad: Path, name: str) -> None:
    path, word = str(bad / name), name.partition(".")[0]
    with pytest.raises(AudioError) as read:
        audio.read(path)
    pruning = scoring.Listener(Settings(), Thresholds())
    candidate = {"pair_id": "pair", "song_id": "song", "mix": {}, "instrumental": {}}
    for role in scoring.ROLES:
        candidate |= {f"{role}_track_id": "track", f"{role}_audio_uri": path}
    segments = Segmenter(Cut(RATE, 2, 3.0, 6.0, 4, lossless_only=False))
    try:
        (reject,) = pruning.hear([candidate]).unreadable.values()
        with pytest.raises(AudioError) as labelling:
            segments.hear(path)
    finally:
        pruning.close()
        segments.close()
    with pytest.raises(AudioError) as cutting:
        sources = [AlignedSource("vocals", path)]
        list(chunks.cut(sources, sample_rate=RATE, channels=2, chunk_frames=RATE))
    words = [read.value.error, labelling.value.error, cutting.value.error, reject["error"]]
    assert words == [word] * 4
    assert pickle.loads(pickle.dumps(cutting.value)).error == word
