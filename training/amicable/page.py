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

from stemlode.theme import document, palette
from training.amicable.song import Song

EXCERPT_S = 12.0
PLAYER_RATES = (44_100, 48_000, 32_000, 22_050, 24_000, 16_000)  # Hz that MP3 knows
BLOCK_FRAMES = 65_536
N_FFT, HOP = 2048, 512  # samples, of pictures
FLOOR_DB, HEIGHT, WIDEST = -80.0, 256, 1200
LOUDER_DB = 20.0  # by which the perturbation is played, as it is inaudible by itself
SHADES = 64
GRID_DB = (0, -20, -40, -60)  # of the short-term power ratio


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
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in report["notes"])
    parts = [
        f"<ul>{notes}</ul>" if notes else "",
        _facts(report),
        *(_scores(model) for model in report["models"]),
        _codecs(report["codecs"]),
        "<h2>Short-term power ratio</h2>" + _profile(report),
        "<h2>Spectrograms</h2>",
        *(_spectrogram(label, x, rate, reference) for label, x in shown.items()),
        "<h2>Listen</h2>",
        *(document.figure(label, _player(label, x, rate)) for label, x in played.items()),
    ]
    about = "An amicable example: what a perturbation of the mixture does to its separation."
    return document.page(title or "Amicable example", about, "\n".join(parts))


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
    return _table("What was reached", [], rows)


def _scores(model: Mapping[str, Any]) -> str:
    kinds = {"before": "before", "after": "after", "random_noise": "random noise"}
    if "after_in_float" in model:
        kinds["after_in_float"] = "after, in float"
    rows = [
        (stem, *(_db(model[kind][stem]["median"]) for kind in kinds)) for stem in model["before"]
    ]
    head = f"<h2>{html.escape(model['name'])}, weight {model['weight']:.4g}</h2>"
    gain = f"<p>SDR in dB, medians of 1 s frames. Gain {_db(model['gain_db']['median'])} dB.</p>"
    return head + gain + _table(f"SDR by {model['name']}", ["stem", *kinds.values()], rows)


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
    return "<h2>After encoding</h2><p>SDR in dB, both encoded.</p>" + _table(
        "After encoding", head, rows
    )


def _profile(report: Mapping[str, Any]) -> str:
    """STPR in dB over time, as a line."""
    points = report["stpr_profile_db"]
    if not points:
        return "<p>No frame of the mixture is heard.</p>"
    width, height, left, right, top, bottom = 720.0, 250.0, 84.0, 696.0, 34.0, 192.0
    seconds = report["duration_s"] or 1.0
    low, high = min(-60.0, *(db for _, db in points)), max(0.0, *(db for _, db in points))

    def across(at_s: float) -> float:
        return left + (right - left) * at_s / seconds

    def up(db: float) -> float:
        return bottom - (bottom - top) * (db - low) / (high - low)

    frame_s = report["frame_samples"] / report["sample_rate"]
    line = " ".join(f"{across(frame * frame_s):.1f},{up(db):.1f}" for frame, db in points)
    grid = "".join(
        f'<path class="rule" d="M{left:g} {up(db):.1f}H{right:g}"/>'
        f'<text x="{left - 10:g}" y="{up(db) + 5:.1f}" text-anchor="end">{_signed(str(db))}</text>'
        for db in GRID_DB
    )
    times = "".join(
        f'<text x="{across(seconds * part):.1f}" y="{bottom + 24:g}" text-anchor="middle">'
        f"{seconds * part:.3g}</text>"
        for part in (0, 0.5, 1)
    )
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="Short-term power ratio in dB over seconds">{grid}{times}'
        f'<text x="0" y="16">STPR in dB</text>'
        f'<text x="{right:g}" y="{bottom + 52:g}" text-anchor="end">seconds</text>'
        f'<polyline class="line" points="{line}"/></svg>'
    )


def _table(label: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column names the row; the others are numbers, to the right."""

    def row(cells: Sequence[str], first: str, kind: str) -> str:
        rest = "".join(f'<{kind} class="n">{html.escape(c)}</{kind}>' for c in cells[1:])
        return f'<tr><th scope="{first}">{html.escape(cells[0])}</th>{rest}</tr>'

    lines = ([row(head, "col", "th")] if head else []) + [row(cells, "row", "td") for cells in rows]
    return document.scroller(label, f"<table>{''.join(lines)}</table>")


def _db(value: float | None) -> str:
    return "–" if value is None else _signed(f"{value:.2f}")


def _signed(number: str) -> str:
    return number.replace("-", "−")


def _magnitudes(samples: np.ndarray) -> np.ndarray:
    mono = torch.from_numpy(samples.mean(0))
    window = torch.hann_window(N_FFT)
    padding = max(0, N_FFT - len(mono))
    mono = torch.nn.functional.pad(mono, (0, padding))
    return torch.stft(mono, N_FFT, HOP, window=window, return_complex=True).abs().numpy()


def _picture(samples: np.ndarray, reference: float) -> str:
    """A spectrogram as a PNG in base64, low notes below, in dB below the mixture's loudest bin."""
    magnitude = _magnitudes(samples)[:-1]
    magnitude = magnitude.reshape(HEIGHT, -1, magnitude.shape[1]).max(1)
    pooled = max(1, -(-magnitude.shape[1] // WIDEST))
    magnitude = np.maximum.reduceat(magnitude, np.arange(0, magnitude.shape[1], pooled), axis=1)
    level = 20 * np.log10(np.maximum(magnitude / reference, 1e-9))
    shade = np.clip(SHADES * (level / -FLOOR_DB + 1), 0, SHADES - 1).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(shade[::-1]))
    image.putpalette(palette.shades(SHADES))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return _base64(buffer)


def _spectrogram(label: str, samples: np.ndarray, rate: int, reference: float) -> str:
    """A figure of the whole sound, up to half its rate."""
    source = f"data:image/png;base64,{_picture(samples, reference)}"
    shown = document.spectrogram(
        source, f"Spectrogram of the {label}", rate / 2, samples.shape[1] / rate
    )
    return document.figure(label, shown)


def _player(label: str, samples: np.ndarray, sample_rate: int) -> str:
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
    source = f"data:audio/{kind};base64,{_base64(buffer)}"
    name = html.escape(label)
    return f'<audio controls preload="none" aria-label="{name}" src="{source}"></audio>'


def _base64(buffer: io.BytesIO) -> str:
    return base64.b64encode(buffer.getvalue()).decode()
