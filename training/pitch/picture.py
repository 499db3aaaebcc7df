"""Salience as a picture, with the f0 on top (thesis, figures 5.2, 5.6 and 5.7)."""

import io

import numpy as np
from PIL import Image, ImageDraw

from stemlode.shards.salience import HOP_LENGTH, ROWS, SAMPLE_RATE, rows_of
from training.pitch.targets import F0

WIDEST = 4000  # pixels of a song; longer ones show several frames in one
LEFT, BELOW = 52, 22  # pixels, for frequencies and seconds
PITCH = (214, 40, 40)
INK, PAPER, LINE = (40, 40, 40), (255, 255, 255), (225, 225, 225)
LABELLED_HZ = (32.7, 65.4, 130.8, 261.6, 523.2, 1046.4)
TICKS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
MOST_TICKS = 20


def png(salience: np.ndarray, f0: F0) -> bytes:
    """uint8 [360, frames] and the f0 of its frames → a PNG: darker is likelier, f0 is red."""
    frames = salience.shape[1]
    pooled = max(1, -(-frames // WIDEST))
    width = max(1, -(-frames // pooled))
    edges = np.arange(0, max(1, frames), pooled)
    seen = np.maximum.reduceat(salience, edges, axis=1) if frames else np.zeros((ROWS, 1), np.uint8)
    grey = (255 - seen[::-1]).astype(np.uint8)
    image = Image.new("RGB", (LEFT + width, ROWS + BELOW), PAPER)
    image.paste(Image.fromarray(grey).convert("RGB"), (LEFT, 0))
    draw = ImageDraw.Draw(image)
    for hertz in LABELLED_HZ:
        y = ROWS - 1 - round(float(rows_of(np.array(hertz))))
        draw.line([(LEFT - 4, y), (LEFT - 1, y)], INK)
        draw.text((2, max(0, y - 6)), f"{hertz:.0f} Hz", INK)
    seconds = frames * HOP_LENGTH / SAMPLE_RATE
    every = next((tick for tick in TICKS_S if seconds / tick <= MOST_TICKS), TICKS_S[-1])
    for tick in range(0, int(seconds) + 1, every):
        x = LEFT + int(tick * SAMPLE_RATE / HOP_LENGTH / pooled)
        draw.line([(x, ROWS), (x, ROWS + 4)], INK)
        draw.text((x + 2, ROWS + 5), f"{tick} s", INK)
    voiced = np.flatnonzero(f0.voiced[:frames])
    rows = np.rint(rows_of(f0.f0_hz[voiced])).astype(int) if len(voiced) else voiced
    for frame, row in zip(voiced // pooled, rows, strict=True):
        draw.point([(LEFT + int(frame), ROWS - 1 - int(row))], PITCH)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
