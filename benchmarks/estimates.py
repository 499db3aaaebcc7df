"""Core-hours that `--estimate` says beside the processor time of the run that it speaks of.

    python -m benchmarks.estimates [--songs 24] [--seconds 60] [--verbs scan corpus …]

Songs are made: a voice of known pitch with rests, and noise as accompaniment, of very unequal
lengths. Both sides are processor time of this process and of those that it starts, imports and
the loading of options left out; a ratio above 1 is an estimate that is too high.
"""

import argparse
import contextlib
import io
import re
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from pipelines import estimates
from stemlode import cli
from stemlode.progress import meters

RATE = 44_100
VERBS = ("scan", "prune", "corpus", "pseudolabel", "salience", "perturb-songs")
TEACHER = "tests.training.teachers.plain_teachers:split"
MODEL = "tests.training.amicable.separators:half"


def made(folder: Path, count: int, seconds: float) -> None:
    """Songs as stems, and as files of mixtures and instrumentals."""
    random = np.random.default_rng(0)
    for number in range(count):
        time = np.arange(round(RATE * seconds * random.uniform(0.4, 1.6))) / RATE
        f0 = random.uniform(150, 300) * 2 ** (np.sin(time / 3) / 4)
        phase = 2 * np.pi * np.cumsum(f0) / RATE
        voice = sum(np.sin(k * phase) / k for k in range(1, 7))
        voice *= 0.1 * (time % 6 > random.uniform(0.5, 3))
        backing = random.normal(0, 0.05, (2, len(time))) + 0.03 * np.sin(phase / 3)
        sides = {"vocals": np.stack([voice, voice]), "accompaniment": backing}
        sides["mixture"] = sides["vocals"] + backing
        for name, samples in sides.items():
            if name != "mixture":
                _write(folder / f"stems/song {number}/{name}.flac", samples)
        _write(folder / f"music/Artist {number} - Song.flac", sides["mixture"])
        _write(folder / f"music/Artist {number} - Song (Instrumental).flac", backing)


def _write(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples.T, RATE)


def words_of(verb: str, folder: Path) -> list[str]:
    """What a verb is given."""
    given = {
        "scan": [str(folder / "music")],
        "prune": ["--candidates", str(folder / "candidates")],
        "corpus": ["--stems", str(folder / "stems")],
        "pseudolabel": ["--music", str(folder / "music"), "--teacher", TEACHER],
        "salience": ["--corpus", str(folder / "corpus")],
        "perturb-songs": ["--stems", str(folder / "stems"), "--model", MODEL],
    }
    more = {"perturb-songs": ["--iterations", "20"]}
    return [verb, *given[verb], *more.get(verb, [])]


def done(words: list[str]) -> tuple[str, float]:
    """What a verb says, and the processor time that it took."""
    took, said = estimates.Took(), io.StringIO()
    with contextlib.redirect_stdout(said), estimates.timed(took):
        status = cli.main(words)
    meters.end()
    assert status == 0, words
    return said.getvalue(), took.cpu_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--verbs", nargs="+", choices=VERBS, default=VERBS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made(folder, options.songs, options.seconds)
        for verb in ("scan", "match", "corpus"):  # what others read; and all is imported
            output = folder / {"scan": "tracks", "match": "candidates"}.get(verb, verb)
            words = ["match", "--catalog", str(folder / "tracks"), "--rule", "extended"]
            words = words if verb == "match" else words_of(verb, folder)
            done([*words, "--output", str(output), "--quiet"])
        for verb in options.verbs:
            words = words_of(verb, folder)
            text, _ = done([*words, "--estimate"])
            found = re.search(r"core-hours +([\d.e-]+)|about ([\d.e-]+) core-hours", text)
            assert found is not None, text
            estimated_s = 3600 * float(found[1] or found[2])
            _, taken_s = done([*words, "--output", str(folder / f"{verb}-out"), "--quiet"])
            print(
                f"{verb}: {estimated_s:,.1f} s estimated, {taken_s:,.1f} s taken, ratio "
                f"{estimated_s / taken_s:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
