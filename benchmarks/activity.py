"""By which floor the windows in which a source sounds are found, on real stems.

The truth is not the detector's own: a solo voice sounds where its f0 file says that it is voiced,
any other stem in the chunks that lie within 40 dB of its song's mixture; a window, where more than
half of its chunks do. Missed and false windows for each floor, as recorded and 20 dB softer.

    python -m benchmarks.activity
"""

import csv
import os
from pathlib import Path

import numpy as np

from stemlode import audio
from stemlode.audio import activity
from training.evaluation.references import in_folder

FLOORS = ("-30", "-40", "-50", "-60", "-70", activity.RELATIVE)
WITHIN_DB, SOFTER_DB = 40.0, 20.0
CHUNK_S = activity.WINDOW_S / activity.CHUNKS


def windows(chunks: np.ndarray) -> np.ndarray:
    """Bool by chunk → by window."""
    if len(chunks) < activity.CHUNKS:
        return np.zeros(0, bool)
    every = np.lib.stride_tricks.sliding_window_view(chunks, activity.CHUNKS)[::5]
    return every.sum(axis=1) > activity.SHARE * activity.CHUNKS


def material(root: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What it is → energies of its chunks, and whether it sounds, by window."""
    found = {}
    voice = audio.read(str(root / "voice/vocadito_1.wav"))
    energies = activity.measure([voice.samples], voice.sample_rate)
    with (root / "voice/vocadito_1_f0.csv").open() as file:
        f0 = np.array([[float(cell) for cell in row[:2]] for row in csv.reader(file)])
    at = (f0[:, 0] / CHUNK_S).astype(int)
    voiced = [bool((f0[at == n, 1] > 0).mean() > 0.5) for n in range(len(energies))]
    found["solo voice"] = energies, windows(np.array(voiced))
    for listed in in_folder(str(root / "multitrack")):
        song = listed.load()
        mixture = activity.measure([song.mixture], song.sample_rate)
        for name in {*listed.song.parts} - {"mixture"}:
            energies = activity.measure([song.source(name)], song.sample_rate)
            sounds = energies > mixture * 10 ** (-WITHIN_DB / 10)
            found[f"{song_name(listed.name)}, {name}"] = energies, windows(sounds & (mixture > 0))
    return dict(sorted(found.items()))


def song_name(name: str) -> str:
    """Without the folders it lies in."""
    return name.rpartition("/")[2]


def wrong(energies: np.ndarray, truth: np.ndarray, floor: str) -> tuple[int, int]:
    """Missed and false windows."""
    heard = np.zeros(len(truth), bool)
    heard[activity.salient(energies, floor)] = True
    return int((truth & ~heard).sum()), int((heard & ~truth).sum())


def main() -> None:
    """Print a row a stem, then the sums."""
    root = Path(os.environ["STEMLODE_TEST_DATA"]) / "audio"
    stems = material(root)
    print(f"| stem | windows that sound | {' | '.join(FLOORS)} |")
    print("|---" * (len(FLOORS) + 2) + "|")
    for name, (energies, truth) in stems.items():
        cells = [wrong(energies, truth, floor) for floor in FLOORS]
        if any(map(any, cells)):
            shown = " | ".join(f"{missed} + {false}" for missed, false in cells)
            print(f"| {name} | {truth.sum()} of {len(truth)} | {shown} |")
    sums = sum(truth.sum() for _, truth in stems.values())
    every = sum(len(truth) for _, truth in stems.values())
    for softer_db in (0.0, SOFTER_DB):
        gain = 10 ** (-softer_db / 10)
        cells = []
        for floor in FLOORS:
            pairs = [wrong(energies * gain, truth, floor) for energies, truth in stems.values()]
            cells.append(f"{sum(p[0] for p in pairs)} + {sum(p[1] for p in pairs)}")
        name = f"all, {softer_db:g} dB softer" if softer_db else "all"
        print(f"| {name} | {sums} of {every} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
