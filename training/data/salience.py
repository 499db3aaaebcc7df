"""The salience beside a corpus, for training: patches of it on the grid of the STFT.

    salience = open_salience("corpus-salience", open_corpus("corpus"))
    start = salience.start_of(sample_id, wanted)       # in the chunk, on a frame's centre
    target = salience.patch(sample_id, start, 128)     # [360, 128]
    mixture = chunk[:, start : start + 128 * 256]      # of the sample, at 22,050 Hz
    X = spectrogram.stft(mixture, 1024, 256)           # column j of X and of target: one moment

Frame j of a patch's STFT is centred on its sample 256 · j. That is the centre of a frame of the
song only where the patch begins on one, so cut the waveform at `start_of`, never anywhere.

Salience belongs to the vocals as they lie in the corpus, whatever was done to them before: an
augmented copy is a recording of its own and has its own. What changes speed or pitch afterwards
(resampling, stretching, transposing a patch) makes it wrong; a gain, silence in the vocals' place
(then the target is zeros) and another accompaniment do not. Where targets change places in a batch,
their salience goes with them.
"""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from stemlode import files, runs, tables
from stemlode.runs import BadUsage, Failed
from stemlode.shards import reading, salience
from stemlode.shards.salience import Columns
from training.data.corpus import Corpus
from training.data.windows import Window

VERB = "salience"
COLUMNS = ["sample_id", "shard", "offset", "size", "first_frame", "first_sample", "frames"]


@dataclass(frozen=True)
class Salience:
    """The salience of a corpus' samples. Small; worker processes may each hold it."""

    folder: str
    index: pa.Table  # schemas.SALIENCE, in COLUMNS
    teacher: str  # swift-f0 or deep-salience
    targets: str  # single or multi

    def __contains__(self, sample_id: str) -> bool:
        return sample_id in self._numbers

    def start_of(self, sample_id: str, wanted: int) -> int:
        """Where to cut a patch: the last sample of the chunk up to `wanted` on which a frame is
        centred, or else the first one; at 22,050 Hz. KeyError where the sample has no salience."""
        return self._columns(self._row(sample_id)).before(wanted)

    def patch(self, sample_id: str, start: int, frames: int) -> Tensor:
        """The salience of the patch that begins at a sample of the chunk: float32 [360, frames] in
        0…1, column j centred on sample start + 256 · j, zeros beyond the chunk's columns.

        Raises KeyError where the sample has none, ValueError where no frame is centred on `start`
        (`start_of`), and one of `windows.UNREADABLE` where it cannot be read.
        """
        row = self._row(sample_id)
        first = self._columns(row).column(start)
        values = self.whole(sample_id)
        found = np.zeros((salience.ROWS, frames), np.float32)
        begin, end = max(0, first), min(values.shape[1], first + frames)
        if begin < end:
            found[:, begin - first : end - first] = values[:, begin:end]
        return torch.from_numpy(found / np.float32(salience.LEVELS))

    def whole(self, sample_id: str) -> np.ndarray:
        """All columns of a sample, uint8 [360, frames]; errors as of `patch`."""
        row = self._row(sample_id)
        data = reading.contents(self.folder, row, [salience.FILE])[salience.FILE]
        values, held = salience.decoded(data)
        if held != self._columns(row):
            raise ValueError(f"{row['shard']}: {sample_id} holds other frames than its row says")
        return values

    def beside(self, window: Window) -> Window:
        """A sample's window at 22,050 Hz from its first frame's centre on, with its salience.

        Raises as `whole` does.
        """
        first = self._columns(self._row(window.sample_id)).first_sample
        return dataclasses.replace(
            window,
            mixture=window.mixture[:, first:],
            reference=window.reference[:, first:],
            salience=torch.from_numpy(self.whole(window.sample_id)),
            hop=salience.HOP_LENGTH,
        )

    def _row(self, sample_id: str) -> dict[str, Any]:
        (row,) = self.index.slice(self._numbers[sample_id], 1).to_pylist()
        return row

    def _columns(self, row: dict[str, Any]) -> Columns:
        return Columns(row["first_frame"], row["first_sample"], row["frames"])

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.index["sample_id"].to_pylist())}


def learnt_beside(corpus: Corpus, found: Salience) -> Corpus:
    """The part of a corpus that has salience, with it: samples without isolated vocals have none,
    nor have those that the teacher could not use."""
    held = pc.is_in(corpus.index["sample_id"], found.index["sample_id"].combine_chunks())
    return dataclasses.replace(corpus, index=corpus.index.filter(held), salience=found)


def open_salience(folder: str, corpus: Corpus) -> Salience:
    """The salience beside a corpus, by its folder.

    Raises BadUsage where the folder holds no finished run of `stemlode salience`, or one of another
    corpus or of this one before it changed; Failed where its table is damaged.
    """
    try:
        record = runs.record(folder)
    except BadUsage as error:
        raise BadUsage(f"--salience {error}") from error
    if record["verb"] != VERB:
        raise BadUsage(f"--salience {folder}: holds a run of {record['verb']}, not of {VERB}")
    if record.get("inputs", {}).get("corpus") != runs.fingerprint(corpus.folder):
        raise BadUsage(
            f"--salience {folder}: was made of another corpus than {corpus.folder}, or before that "
            "was changed; run stemlode salience on it again, into a new folder or with --overwrite"
        )
    parts = sorted(path for path in record["outputs"] if path.startswith(f"{VERB}-"))
    if not parts:
        raise Failed(f"{files.join(folder, runs.RECORD)}: names no table {VERB}")
    held = [
        tables.read_part(files.join(folder, part), [*COLUMNS, "targets", "teacher"])
        for part in parts
    ]
    index = pa.concat_tables(held).combine_chunks()
    said = {name: index[name].unique().to_pylist() for name in ("teacher", "targets")}
    if any(len(values) != 1 for values in said.values()):
        raise Failed(f"--salience {folder}: not one teacher and one kind of targets: {said}")
    return Salience(folder, index.select(COLUMNS), said["teacher"][0], said["targets"][0])
