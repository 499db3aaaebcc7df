"""The report's pictures and players, decoded again."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from pipelines.pages import excerpts, media
from stemlode import audio
from stemlode.audio import AudioError
from tests.pipelines.report.folders import tone

RATE = media.RATE


def _sound(player: str) -> np.ndarray:
    kind, data = player.split(",", 1)
    assert kind == "data:audio/mpeg;base64"
    samples, _ = soundfile.read(io.BytesIO(base64.b64decode(data)), dtype="float32")
    return samples


def _image(picture: str) -> np.ndarray:
    kind, data = picture.split(",", 1)
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), np.float64)


def _triple(mixture: str, instrumental: str, **more: float | None) -> list[media.Clip]:
    facts = {"offset_s": 0.0, "gain_db": 0.0, "duration_s": audio.probe(mixture).duration_s} | more
    return media.triple(mixture, instrumental, polarity=1, **facts)  # type: ignore[arg-type]


def _similarity(one: np.ndarray, two: np.ndarray) -> float:
    length = min(len(one), len(two))
    one, two = one[:length], two[:length]
    return float(one @ two / np.sqrt((one @ one) * (two @ two)))


def test_the_spectrogram_can_be_undone() -> None:
    noise = np.random.default_rng(1).standard_normal(RATE + 77).astype(np.float32)
    spectrogram = media.stft(noise)
    assert spectrogram.shape[0] == media.N_FFT // 2 + 1
    assert media.istft(spectrogram, len(noise)) == pytest.approx(noise, abs=1e-5)


def test_a_player_holds_the_sound(tmp_path: Path) -> None:
    sound = audio.read(tone(tmp_path / "a.wav", 440, seconds=2)).samples
    heard = _sound(media.player(sound, RATE))
    assert abs(len(heard) - sound.shape[1]) < 3000  # MP3 pads
    best = max(_similarity(heard[shift:], sound[0]) for shift in range(0, 40))
    assert best > 0.95


def test_a_picture_is_brightest_where_the_tone_is(tmp_path: Path) -> None:
    sound = audio.read(tone(tmp_path / "a.wav", 1000)).samples[0]
    magnitude = np.abs(media.stft(sound))
    light = _image(media.picture(magnitude, magnitude.max())).sum(axis=(1, 2))
    row = len(light) - 1 - int(light.argmax())  # low notes below
    assert row * RATE / media.N_FFT == pytest.approx(1000, abs=RATE / media.N_FFT)


def test_silence_is_dark_and_the_same_recording_leaves_nothing(tmp_path: Path) -> None:
    path = tone(tmp_path / "a.wav", 440, 660)
    mixture, _, difference = _triple(path, path)
    assert _image(mixture.picture).mean() > 2 * _image(difference.picture).mean()
    assert len(np.unique(_image(difference.picture))) <= 3
    assert np.abs(_sound(difference.player)).max() < 1e-3


def test_offset_and_gain_are_applied(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    music = rng.standard_normal(6 * RATE).astype(np.float32) * 0.1
    audio.write(str(tmp_path / "mix.wav"), music[RATE:], RATE)
    audio.write(str(tmp_path / "late.wav"), music * 0.5, RATE)
    paths = str(tmp_path / "mix.wav"), str(tmp_path / "late.wav")
    aligned = _triple(*paths, offset_s=1.0, gain_db=20 * np.log10(2))[2]
    shifted = _triple(*paths, offset_s=0.9, gain_db=20 * np.log10(2))[2]
    power = [float(np.mean(_sound(clip.player) ** 2)) for clip in (aligned, shifted)]
    assert power[0] < 1e-3 * power[1]


def test_what_lies_before_the_beginning_is_silence(tmp_path: Path) -> None:
    path = tone(tmp_path / "a.wav", 440)
    sound = excerpts.excerpt(path, -1.0, 2.0, RATE)
    assert sound.shape == (1, 2 * RATE)
    assert not sound[:, :RATE].any() and sound[:, RATE:].any()
    with pytest.raises(AudioError, match="past the end"):
        excerpts.excerpt(path, 60.0, 2.0, RATE)


def test_long_stereo_is_cut_and_its_players_belong_together(tmp_path: Path) -> None:
    time = np.arange(30 * 44_100) / 44_100
    sound = np.stack([np.sin(2 * np.pi * 300 * time), np.cos(2 * np.pi * 300 * time)]) * 1.5
    for name, gain in (("mixture", 1.0), ("vocals", 0.25)):
        audio.write(str(tmp_path / f"{name}.wav"), sound * gain, 44_100, "FLOAT")
    clips = media.separated([(n, str(tmp_path / f"{n}.wav")) for n in ("mixture", "vocals")])
    loud, quiet = (_sound(clip.player) for clip in clips)
    assert loud.shape == quiet.shape and loud.shape[1] == 2
    assert len(loud) / 44_100 == pytest.approx(media.SEPARATED_S, abs=0.2)
    assert np.quantile(np.abs(loud), 0.999) < 1.05  # no clipping, one gain for all
    assert np.std(loud) / np.std(quiet) == pytest.approx(4, rel=0.05)
    bright, dim = (_image(clip.picture).mean() for clip in clips)
    assert bright > dim


def test_what_cannot_be_read_is_an_audio_error(tmp_path: Path, test_data: Path) -> None:
    good = tone(tmp_path / "a.wav", 440)
    for broken in (tmp_path / "none.wav", test_data / "audio" / "broken" / "empty.wav"):
        with pytest.raises(AudioError):
            _triple(good, str(broken))


@pytest.mark.parametrize("song", ["so_easy", "mallory"])
def test_the_difference_of_a_real_pair_is_the_voice(test_data: Path, song: str) -> None:
    folder = test_data / "audio" / "multitrack" / song
    paths = [str(folder / f"{name}.mp3") for name in ("mixture", "accompaniment", "vocals")]
    clips = _triple(paths[0], paths[1])
    voice = excerpts.excerpt(paths[2], 10.0, media.EXCERPT_S, RATE, mono=True)[0]
    level = [
        np.abs(media.stft(sound)).ravel()
        for sound in (voice, *(_sound(clip.player)[: len(voice)] for clip in clips))
    ]
    mixture, instrumental, difference = (_similarity(level[0], other) for other in level[1:])
    assert difference > 0.85
    assert difference > mixture > instrumental
