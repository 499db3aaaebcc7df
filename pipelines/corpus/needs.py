"""How much disk a corpus will need, by what tables and headers state. Free of Beam."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pipelines.samples import recordings
from pipelines.samples.recordings import Recording
from stemlode import audio, tables
from stemlode.layouts.songs import Song
from stemlode.shards import space

if TYPE_CHECKING:  # it parses options, for which it needs Beam
    from pipelines.corpus.options import CorpusPlan

PROBED = 32  # songs whose lengths stand for those of the rest
MOST_FAULTS = 3  # of files that cannot be looked at, since a store may take its time to say so
USUAL_RATE = 44_100  # where each song keeps its own
_COLUMNS = ["decision", "coherent", "mix_decoded_s", "mix", "repaired", "matched_share"]


def expected_bytes(
    pairs: str | None, songs: Sequence[Song], plan: "CorpusPlan", use_parts: bool = True
) -> float:
    """About how large the shards will be, of a folder of pairs and of the songs of folders."""
    source_s = sum(_of_pairs(pairs, use_parts)) if pairs else 0.0
    found = [one for one in recordings.of_songs(songs) if not one.fault]
    copies = plan.copies * plan.ratios.get("train", 0.0)
    source_s += _mean_s(found) * sum(len(one.parts) for one in found) * (1 + copies)
    shape = plan.shape
    rate = shape.sample_rate or USUAL_RATE
    return space.flac_bytes(source_s, rate, shape.channels, shape.flac_bits)


def _of_pairs(folder: str, use_parts: bool) -> Iterator[float]:
    """Seconds of sources of each kept pair: mixture, accompaniment, and a residual where it has
    one."""
    for path in tables.parts(folder, "pairs"):
        for batch in tables.read_part(path, _COLUMNS).to_batches():
            for row in batch.to_pylist():
                if recordings.usable(row, use_parts):
                    part = row["matched_share"] if recordings.in_parts(row) else None
                    length = row["mix_decoded_s"] or row["mix"]["duration_s"] or 0.0
                    yield length * (part or 1.0) * (3 if row["coherent"] else 2)


def _mean_s(found: Sequence[Recording]) -> float:
    """The mean length of some recordings, by their headers; 0 where none states it."""
    lengths: list[float] = []
    faults = 0
    for one in found[:: max(1, len(found) // PROBED)]:
        uris = [part.uri for parts in one.parts.values() for part in parts if part.uri]
        try:
            lengths += [audio.probe(uri).duration_s or 0.0 for uri in uris[:1]]
        except (audio.AudioError, OSError):  # the run says what is wrong with it
            faults += 1
            if faults == MOST_FAULTS:
                break
    return sum(lengths) / len(lengths) if lengths else 0.0
