"""What was found, by ear: the song on the left, its pitch as tones on the right; and the page."""

import html
import tempfile
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import soundfile

from stemlode.shards.salience import HOP_LENGTH, SAMPLE_RATE
from stemlode.theme import document
from training.pitch.hcqt import Signal

LOUDNESS = 0.2  # of a tone
BLOCK_FRAMES = 1024  # at a time
CLIPPED = 0.99


def flac(signal: Signal, voices: np.ndarray) -> Any:
    """A song, mono at 22,050 Hz, and its voices → an open temporary file, FLAC in stereo.

    `voices`: float [voices, frames], Hz of each voice in each frame, 0 where it rests.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    facts = {"samplerate": SAMPLE_RATE, "channels": 2, "format": "FLAC", "subtype": "PCM_16"}
    phases = np.zeros(len(voices))
    before = np.zeros(len(voices))
    with soundfile.SoundFile(file, "w", **facts) as sink:
        for first in range(0, -(-len(signal) // HOP_LENGTH), BLOCK_FRAMES):
            part = signal[first * HOP_LENGTH : (first + BLOCK_FRAMES) * HOP_LENGTH]
            held = voices[:, first : first + BLOCK_FRAMES]
            tones, phases, before = _tones(held, phases, before)
            both = np.stack([part, np.resize(tones, len(part))], axis=1)
            sink.write(np.clip(both, -CLIPPED, CLIPPED))
    file.seek(0)
    return file


def _tones(
    voices: np.ndarray, phases: np.ndarray, before: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Some frames of every voice as one signal; where each tone stands then, and how loud it is."""
    total = np.zeros(voices.shape[1] * HOP_LENGTH)
    ends, levels = phases.copy(), before.copy()
    for number, f0 in enumerate(voices):
        sounds = f0 > 0
        phase = phases[number] + np.cumsum(np.repeat(f0, HOP_LENGTH)) * (2 * np.pi / SAMPLE_RATE)
        heard = np.concatenate([before[number : number + 1], sounds.astype(float)])
        places = np.arange(len(total)) / HOP_LENGTH
        total += np.sin(phase) * np.interp(places, np.arange(len(heard)), heard)
        if len(f0):
            ends[number], levels[number] = phase[-1] % (2 * np.pi), heard[-1]
    return LOUDNESS * total, ends, levels


def page(songs: Sequence[tuple[str, str, Sequence[tuple[str, str]]]], who: str) -> bytes:
    """An HTML page beside the songs' folders.

    Args:
        songs: of each, its folder's name, its title, and what is to be said of it (term, text).
        who: what heard the pitch.
    """
    parts = []
    for folder, title, facts in songs:
        at, name = quote(folder), html.escape(title)
        said = "".join(
            f'<tr><th scope="row">{html.escape(term)}</th><td>{html.escape(text)}</td></tr>'
            for term, text in facts
        )
        picture = f'<img src="{at}/salience.png" alt="Salience and f0 of {name}, Hz over seconds">'
        parts.append(
            f'<section class="card"><h2><bdi>{name}</bdi></h2>\n<table>{said}</table>\n'
            f'<div class="salience">{document.scroller(f"Salience of {title}", picture)}</div>\n'
            f'<audio controls preload="none" src="{at}/listen.flac" '
            f'aria-label="{name}, and its pitch"></audio></section>\n'
        )
    about = (
        f"Heard by {who}. On the left you hear the song, on the right the pitch that was found; "
        "the picture shows how likely each pitch is, in Hz over seconds, and in red which one was "
        "taken."
    )
    return document.page("Pitch", about, "".join(parts))
