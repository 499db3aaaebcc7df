"""An estimate from a sample: near the truth, honest about how near, and whole where it is cheap."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matching.rules import EXTENDED, THESIS, Rule
from pipelines.catalogue.reading import Catalogue
from pipelines.match import estimate

ARTISTS, MOST_PER_KEY = 6000, 1000


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """About 60,000 tracks; artists have from one to some hundreds, as in real catalogues."""
    rng = random.Random(5)
    rows = []
    for artist in range(ARTISTS):
        for song in range(int(min(400, rng.paretovariate(0.9)))):
            duration_s = 120 + 240 * rng.random()
            rows.append((artist, f"Song Number {song}", duration_s))
            while rng.random() < 0.3:  # on another album, or as an instrumental
                words = rng.choice(["", " (Instrumental)", " - Karaoke Version"])
                rows.append((artist, f"Song Number {song}{words}", duration_s + rng.random()))
    rows += [(ARTISTS, f"Intro{' (Instrumental)' * (n % 2)}", 60.0) for n in range(40)]
    rows += [(ARTISTS, f"Various Song {n}", 60.0) for n in range(460)]
    rng.shuffle(rows)
    artists, titles, durations = zip(*rows, strict=True)
    folder: Path = tmp_path_factory.mktemp("catalogue")
    table = {
        "track_id": [f"t{n}" for n in range(len(rows))],
        "artist_id": [f"a{n}" for n in artists],
        "title": titles,
        "duration_s": durations,
    }
    pq.write_table(pa.table(table), folder / "tracks.parquet")
    return Catalogue(str(folder / "tracks.parquet"))


@pytest.mark.parametrize("rule", [THESIS, EXTENDED], ids=lambda rule: rule.name)
@pytest.mark.parametrize("share", [0.2, 0.5])
def test_a_sample_tells_the_candidates_to_a_fifth(
    catalogue: Catalogue, rule: Rule, share: float
) -> None:
    whole = estimate.expected(catalogue, rule, MOST_PER_KEY)
    some = estimate.expected(
        catalogue, rule, MOST_PER_KEY, most_tracks=int(share * whole.tracks_read)
    )
    assert whole.share == 1 and whole.error == 0 and whole.candidates > 5000
    assert some.share == pytest.approx(share, abs=0.05)
    for name in ("candidates", "instrumentals", "tracks", "hours"):
        assert getattr(some, name) == pytest.approx(getattr(whole, name), rel=0.2), name
    off = abs(some.candidates - whole.candidates) / whole.candidates
    assert 0 < some.error < 0.2 and off < 1.5 * some.error
    assert some.largest[0] == whole.largest[0]
    assert some.largest[0]["candidates"] == 400
