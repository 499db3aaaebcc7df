"""The shades of spectrograms, dark to light."""

import numpy as np

# Night to ember to straw: lighter all the way, so that it prints in grey.
_ANCHORS = (
    (9, 8, 20),
    (42, 17, 76),
    (104, 27, 104),
    (170, 44, 92),
    (224, 84, 58),
    (247, 148, 48),
    (253, 211, 112),
    (255, 250, 222),
)


def shades(count: int) -> bytes:
    """Red, green and blue of so many shades, one after the other, as pictures keep palettes."""
    places = np.linspace(0, len(_ANCHORS) - 1, count)
    anchors = np.asarray(_ANCHORS, np.float64)
    channels = [np.interp(places, np.arange(len(_ANCHORS)), anchors[:, c]) for c in range(3)]
    return np.stack(channels, 1).round().astype(np.uint8).tobytes()
