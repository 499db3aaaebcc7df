"""report.html: what a perturbation does, to read, to see and to hear. It stands alone."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import soundfile
import torch
from PIL import Image

from training.amicable.song import Song

EXCERPT_S = 12.0
PLAYER_RATES = (44_100, 48_000, 32_000, 22_050, 24_000, 16_000)  # Hz that MP3 knows
BLOCK_FRAMES = 65_536
N_FFT, HOP = 2048, 512  # samples, of pictures
FLOOR_DB, HEIGHT, WIDEST = -80.0, 256, 1200
LOUDER_DB = 20.0  # by which the perturbation is played, as it is inaudible by itself
STYLE = """body { font: 16px/1.5 sans-serif; margin: 2em auto; max-width: 62em; padding: 0 1em }
table { border-collapse: collapse } td, th { padding: .1em 1em .1em 0; text-align: right }
td:first-child, th:first-child { text-align: left } figure { margin: 1em 0 } figcaption { color:
#555 } img { width: 100%; image-rendering: pixelated } audio { width: 100% } svg { max-width: 100% }
"""


def page(
    title: str,
    report: Mapping[str, Any],
    song: Song,
    perturbed: np.ndarray,
    heard: Mapping[str, np.ndarray],
) -> bytes:
    """The page of a report (`perturb.perturb`), with the stems before and after by label."""
    rate, added = song.sample_rate, perturbed - song.mixture
    louder = added * np.float32(10 ** (LOUDER_DB / 20))
    shown = {"mixture": song.mixture, "perturbed": perturbed, "perturbation": added}
    played = {
        "mixture": song.mixture,
        "perturbed": perturbed,
        f"perturbation, {LOUDER_DB:g} dB louder": louder,
        **heard,
    }
    reference = float(_magnitudes(song.mixture).max()) or 1.0
    parts = [
        _facts(report),
        *(_scores(model) for model in report["models"]),
        _codecs(report["codecs"]),
        "<h2>Short-term power ratio</h2>" + _profile(report),
        "<h2>Spectrograms</h2>",
        *(_figure(label, _picture(x, reference)) for label, x in shown.items()),
        "<h2>Listen</h2>",
        *(_figure(label, _player(x, rate)) for label, x in played.items()),
    ]
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in report["notes"])
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f"<title>Amicable example: {html.escape(title)}</title>\n<style>{STYLE}</style>\n"
        f"<h1>{html.escape(title)}</h1>\n<ul>{notes}</ul>\n" + "\n".join(parts) + "\n</html>\n"
    ).encode(errors="backslashreplace")


def _facts(report: Mapping[str, Any]) -> str:
    di_sdr = report["di_sdr"]
    rows = [
        ("DI_SDR, museval's median", f"{_db(di_sdr['median'])} dB"),
        ("DI_SDR, whole signal", f"{_db(di_sdr['whole'])} dB"),
        ("λ", f"{report['stpr_weight']:.4g}"),
        ("Iterations", f"{report['iterations']}"),
    ]
    for name in ("first", "best", "last"):
        if one := report[name]:
            said = f"loss {one['loss']:.4g}, DI_SDR {_db(one['di_sdr']['median'])} dB"
            rows.append((f"The {name} iterate, number {one['iteration']}", said))
    if target := report.get("target"):
        met = "met" if target["met"] else "not met"
        rows.append(("Wanted DI_SDR", f"{target['di_sdr']:g} dB ({target['measured']}), {met}"))
    if pcm := report.get("pcm"):
        lost = f"{pcm['clipped_samples']:,} samples clipped, error {_db(pcm['error_db'])} dB"
        rows.append((f"PCM of {pcm['bits']} bits", lost))
    return _table([], rows)


def _scores(model: Mapping[str, Any]) -> str:
    kinds = {"before": "before", "after": "after", "random_noise": "random noise"}
    if "after_in_float" in model:
        kinds["after_in_float"] = "after, in float"
    rows = [
        (stem, *(_db(model[kind][stem]["median"]) for kind in kinds)) for stem in model["before"]
    ]
    head = f"<h2>{html.escape(model['name'])}, weight {model['weight']:.4g}</h2>"
    gain = f"<p>SDR in dB, medians of 1 s frames. Gain {_db(model['gain_db']['median'])} dB.</p>"
    return head + gain + _table(["stem", *kinds.values()], rows)


def _codecs(codecs: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for one in codecs:
        for model in one["models"]:
            rows += [
                (
                    *(one["codec"], model["name"], stem),
                    *(_db(model[when][stem]["median"]) for when in ("before", "after")),
                    f"{one['delay_ms']:.1f}",
                )
                for stem in model["before"]
            ]
    if not rows:
        return ""
    head = ["codec", "model", "stem", "mixture", "perturbed", "delay, ms"]
    return "<h2>After encoding</h2><p>SDR in dB, both encoded.</p>" + _table(head, rows)


def _profile(report: Mapping[str, Any]) -> str:
    """STPR in dB over time, as a line."""
    points = report["stpr_profile_db"]
    if not points:
        return "<p>No frame of the mixture is heard.</p>"
    width, height, left, bottom = 720.0, 180.0, 44.0, 150.0
    seconds = report["duration_s"] or 1.0
    low, high = min(-60.0, *(db for _, db in points)), max(0.0, *(db for _, db in points))

    def place(frame: float, db: float) -> str:
        x = (
            left
            + (width - left - 8) * frame * report["frame_samples"] / report["sample_rate"] / seconds
        )
        return f"{x:.1f},{bottom - (bottom - 8) * (db - low) / (high - low):.1f}"

    line = " ".join(place(frame, db) for frame, db in points)
    ticks = "".join(
        f'<text x="2" y="{place(0, db).split(",")[1]}" font-size="11">{db:g} dB</text>'
        for db in (0, -20, -40, -60)
    )
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="STPR over time">{ticks}'
        f'<polyline points="{line}" fill="none" stroke="#b3261e" stroke-width="1.2"/>'
        f'<text x="{left:g}" y="{height - 8:g}" font-size="11">0 s</text>'
        f'<text x="{width - 60:g}" y="{height - 8:g}" font-size="11">{seconds:.1f} s</text></svg>'
    )


def _figure(label: str, inside: str) -> str:
    return f"<figure>{inside}<figcaption>{html.escape(label)}</figcaption></figure>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def row(cells: Sequence[str], kind: str) -> str:
        return "<tr>" + "".join(f"<{kind}>{html.escape(c)}</{kind}>" for c in cells) + "</tr>"

    lines = ([row(head, "th")] if head else []) + [row(cells, "td") for cells in rows]
    return f"<table>{''.join(lines)}</table>"


def _db(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".replace("-", "−")


def _magnitudes(samples: np.ndarray) -> np.ndarray:
    mono = torch.from_numpy(samples.mean(0))
    window = torch.hann_window(N_FFT)
    padding = max(0, N_FFT - len(mono))
    mono = torch.nn.functional.pad(mono, (0, padding))
    return torch.stft(mono, N_FFT, HOP, window=window, return_complex=True).abs().numpy()


def _picture(samples: np.ndarray, reference: float) -> str:
    """A spectrogram, low notes below, in decibels below the mixture's loudest bin."""
    magnitude = _magnitudes(samples)[:-1]
    magnitude = magnitude.reshape(HEIGHT, -1, magnitude.shape[1]).max(1)
    pooled = max(1, -(-magnitude.shape[1] // WIDEST))
    magnitude = np.maximum.reduceat(magnitude, np.arange(0, magnitude.shape[1], pooled), axis=1)
    level = 20 * np.log10(np.maximum(magnitude / reference, 1e-9))
    shade = np.clip(255 * (level / -FLOOR_DB + 1), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(255 - shade[::-1])).save(buffer, "PNG", optimize=True)
    return f'<img alt="Spectrogram" src="data:image/png;base64,{_base64(buffer)}">'


def _player(samples: np.ndarray, sample_rate: int) -> str:
    """An excerpt from a third into the song."""
    size = round(EXCERPT_S * sample_rate)
    first = max(0, min(samples.shape[1] // 3, samples.shape[1] - size))
    frames = np.clip(samples[:, first : first + size].T, -1, 1)
    form = "MP3" if sample_rate in PLAYER_RATES else "FLAC"
    buffer = io.BytesIO()
    facts = {"samplerate": sample_rate, "channels": frames.shape[1], "format": form}
    with soundfile.SoundFile(buffer, "w", **facts) as sink:
        # libsndfile crashes on a long MP3 signal in one call
        for start in range(0, len(frames), BLOCK_FRAMES):
            sink.write(frames[start : start + BLOCK_FRAMES])
    kind = {"MP3": "mpeg", "FLAC": "flac"}[form]
    return (
        f'<audio controls preload="none" src="data:audio/{kind};base64,{_base64(buffer)}"></audio>'
    )


def _base64(buffer: io.BytesIO) -> str:
    return base64.b64encode(buffer.getvalue()).decode()
