"""What a reviewer hears: aligned, level, bounded, and said where there is nothing to hear."""

import io
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.review import sound as sound_module
from pipelines.review.sample import SampledPair, Track
from stemlode import audio
from tests.pipelines.review import folders
from tests.pipelines.review.folders import RATE


def pair(mix: str | None, instrumental: str | None, **facts: object) -> SampledPair:
    plain = SampledPair(
        pair_id="a",
        stratum=0,
        reachable=True,
        mix=Track("Song", "Artist", 4.0, mix),
        instrumental=Track("Song (Instrumental)", "Artist", 4.0, instrumental),
        decision="kept",
        reason="",
        difference=0.3,
        asymmetry=None,
        offset_s=0.0,
        gain_db=0.0,
        polarity=1,
        drift_ppm=None,
        alignment_confidence=None,
        coherent=None,
        matched_spans=(),
    )
    return replace(plain, **facts)  # type: ignore[arg-type]


def heard(excerpt: sound_module.Excerpt, name: str) -> np.ndarray:
    """[2, frames] of a sound of an excerpt."""
    sound = excerpt.sounds[name]
    assert not sound.error
    assert sound.png.startswith(b"\x89PNG")
    samples, rate = soundfile.read(io.BytesIO(sound.wav), dtype="float32", always_2d=True)
    assert rate == RATE
    return samples.T


def level_db(samples: np.ndarray) -> float:
    return 10 * float(np.log10(np.mean(samples.astype(np.float64) ** 2) + 1e-20))


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A mixture, and its instrumental 37.3 samples later, inverted and 6 dB lower."""
    folder = tmp_path_factory.mktemp("shifted")
    rng = np.random.default_rng(3)
    noise = audio.resample(rng.normal(0, 0.1, (2, 4 * 8192)).astype(np.float32), 8192, RATE)
    audio.write(str(folder / "mix.wav"), noise + folders.voice()[:, : noise.shape[1]], RATE)
    spectrum = np.fft.rfft(np.pad(noise, ((0, 0), (0, 4096))))
    turn = np.exp(-2j * np.pi * np.fft.rfftfreq(noise.shape[1] + 4096) * 37.3)
    later = np.fft.irfft(spectrum * turn)[:, : noise.shape[1]]
    audio.write(str(folder / "instrumental.wav"), -0.5 * later, RATE)
    return str(folder / "mix.wav"), str(folder / "instrumental.wav")


@pytest.mark.parametrize("coherent", [True, False])
def test_the_difference_of_an_aligned_pair_is_the_voice(
    shifted: tuple[str, str], coherent: bool
) -> None:
    aligned = pair(*shifted, offset_s=37.3 / RATE, gain_db=6.0206, polarity=-1, coherent=coherent)
    excerpt = sound_module.render(aligned, 0)
    middle = slice(RATE // 2, 3 * RATE)
    voice = folders.voice()[:, middle]
    left = heard(excerpt, "difference")[:, middle] - voice
    assert level_db(left) < level_db(voice) - (35 if coherent else 8)
    # the instrumental comes as it lies in the mixture
    rest = heard(excerpt, "mixture")[:, middle] - voice
    assert level_db(rest - heard(excerpt, "instrumental")[:, middle]) < level_db(rest) - 35


def test_the_three_sounds_are_of_one_length_wherever_they_begin(
    shifted: tuple[str, str],
) -> None:
    for offset_s in (-2.5, -0.4, 1.7, 9.0):
        excerpt = sound_module.render(pair(*shifted, offset_s=offset_s), 1)
        assert {heard(excerpt, name).shape for name in sound_module.NAMES} == {(2, 3 * RATE)}
    early = heard(sound_module.render(pair(*shifted, offset_s=-2.5), 1), "instrumental")
    assert not early[:, : RATE * 3 // 2].any()  # not there yet
    assert early[:, RATE * 8 // 5 :].any()


def test_a_difference_made_in_pieces_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 0.2, (2, 1, 50_000)).astype(np.float32)
    whole = sound_module._residual(x, y)
    monkeypatch.setattr(sound_module, "PIECE", 7 * 1024)
    assert np.abs(sound_module._residual(x, y) - whole).max() < 1e-5


def test_what_would_clip_is_turned_down_with_the_others(tmp_path: Path) -> None:
    loud = np.full((2, RATE), 0.9, np.float32)
    audio.write(str(tmp_path / "a.wav"), loud, RATE)
    excerpt = sound_module.render(pair(*[str(tmp_path / "a.wav")] * 2, gain_db=20.0), 0)
    assert heard(excerpt, "instrumental").max() == pytest.approx(1.0, abs=1e-3)
    assert heard(excerpt, "mixture").max() == pytest.approx(0.1, abs=1e-3)


def test_what_cannot_be_read_is_said_and_the_rest_is_played(tmp_path: Path) -> None:
    audio.write(str(tmp_path / "good.wav"), folders.chord(1), RATE)
    (tmp_path / "bad.wav").write_text("no sound")
    good = str(tmp_path / "good.wav")
    for bad, why in (
        (str(tmp_path / "bad.wav"), "not audio"),
        (str(tmp_path / "missing.wav"), "no such file"),
        (None, "names no file"),
        ("", "names no file"),
        (str(tmp_path), "directory"),
        ("/dev/zero", "not a regular file"),
        ("nope://x", "nope"),
    ):
        excerpt = sound_module.render(pair(bad, good), 0)
        assert why in excerpt.sounds["mixture"].error.lower()
        assert "mixture" in excerpt.sounds["difference"].error
        assert heard(excerpt, "instrumental").any()
        excerpt = sound_module.render(pair(good, bad), 0)
        assert why in excerpt.sounds["instrumental"].error.lower()
        assert heard(excerpt, "mixture").any()
    nothing = sound_module.render(pair(None, None), 0)
    assert all(sound.error for sound in nothing.sounds.values())
    past = sound_module.render(pair(good, good), 77)
    assert past.sounds["mixture"].error == "ends before 77 s"


@pytest.mark.slow
def test_a_long_song_gives_a_minute_from_where_it_matches(tmp_path: Path) -> None:
    song = np.tile(folders.chord(1, 10.0)[:1], 20)
    audio.write(str(tmp_path / "long.flac"), song, RATE)
    long = pair(*[str(tmp_path / "long.flac")] * 2)
    assert sound_module.duration(long) == pytest.approx(200)
    assert sound_module.first_start(long, 200.0) == 66
    assert sound_module.first_start(replace(long, matched_spans=((10.0, 20.0),)), 200.0) == 0
    spans = ((0.0, 20.0), (90.0, 190.0))
    assert sound_module.first_start(replace(long, matched_spans=spans), 200.0) == 110
    assert sound_module.first_start(replace(long, matched_spans=((150.0, 200.0),)), 200.0) == 140
    assert sound_module.first_start(long, None) == 0
    excerpt = sound_module.render(long, 110)
    assert excerpt.seconds == sound_module.EXCERPT_S
    assert heard(excerpt, "mixture").shape == (2, 60 * RATE)


def test_few_excerpts_are_kept_and_each_is_rendered_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[int] = []
    plain = sound_module.render

    def counted(some: SampledPair, start_s: int) -> sound_module.Excerpt:
        rendered.append(start_s)
        return plain(some, start_s)

    monkeypatch.setattr(sound_module, "render", counted)
    audio.write(str(tmp_path / "a.wav"), folders.chord(1), RATE)
    renderer = sound_module.Renderer([pair(*[str(tmp_path / "a.wav")] * 2)])
    for start in (0, 0, 1, 0, 2, 3, 4, 0):
        with renderer.wanted(0, start) as excerpt:
            assert excerpt.result(60).start_s == start
    assert rendered == [0, 1, 2, 3, 4]  # 1 had to go, 0 was asked for again
    assert len(renderer._held) == sound_module.KEPT


def test_what_nobody_waits_for_is_not_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, rendered = threading.Event(), list[int]()

    def slow(some: SampledPair, start_s: int) -> str:
        gate.wait(60)
        rendered.append(start_s)
        return "rendered"

    monkeypatch.setattr(sound_module, "render", slow)
    renderer = sound_module.Renderer([pair(None, None)])
    with renderer.wanted(0, 0) as first, renderer.wanted(0, 9) as last:
        for start in range(1, 9):  # skipped over
            with renderer.wanted(0, start):
                pass
        with renderer.wanted(0, 9):  # by another tab, which leaves again
            pass
        gate.set()
        assert [first.result(60), last.result(60)] == ["rendered"] * 2
    assert rendered == [0, 9]


def test_what_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(some: SampledPair, start_s: int) -> None:
        raise MemoryError

    monkeypatch.setattr(sound_module, "render", failing)
    renderer = sound_module.Renderer([pair(None, None)])
    for _ in range(2):
        with renderer.wanted(0, 0) as excerpt, pytest.raises(MemoryError):
            excerpt.result(60)
        assert not renderer._held
