"""The salience of the vocals' pitch: its grid, and its form on disk. Free of Beam and torch.

`stemlode salience --corpus C --output S` writes a run folder S of its own. It mirrors C: the
samples of C's `train/train-00003.tar` (or `.parquet`) have their salience in S's
`train/train-00003.tar`, as `{sample_id}.salience.npz`, and the table `salience`
(`schemas.SALIENCE`) says where each lies.

**The grid** is the song's, not the chunk's: column t of a song's salience is the frame that is
centred on t · 256 samples of the song at 22,050 Hz, as in `training.models.spectrogram.stft` with
n_fft 1024 and hop_length 256. A chunk of 12 s is 1,033.6 hops, so its first column is rarely
centred on its first sample. `Columns` says which frame of the song that column is (`first_frame`),
and on which sample of the chunk, at 22,050 Hz, it is centred (`first_sample`, 0 to 255).

**The rows**: 360, row r at 32.7 · 2^(r / 60) Hz (thesis 5.2, Deep Salience: 60 bins an octave).

**The values** are uint8, likelihood · 255, so that the thesis' threshold of 0.4 is 102 exactly.
Which teacher gave them, and whether a frame has one ridge (`single`) or all of them (`multi`), is
said in every row.
"""

import io
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

SAMPLE_RATE = 22_050  # Hz
HOP_LENGTH = 256  # samples
ROWS = 360
LOWEST_HZ = 32.7
ROWS_PER_OCTAVE = 60
LEVELS = 255  # what likelihood 1 is on disk
THRESHOLD = 0.4  # a frame is voiced where its largest likelihood reaches this (thesis 5.3)
FILE = "salience.npz"
TARGETS = ("single", "multi")
MOST_BYTES = 1 << 29  # of a chunk's salience, unpacked: more than four hours
# What bytes raise that are no salience of ours, beside ValueError.
NOT_OURS = (
    *(KeyError, TypeError, EOFError, OSError, MemoryError, OverflowError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class Columns:
    """Which frames of a song a chunk holds: those that are centred on one of its samples."""

    first_frame: int  # of the song
    first_sample: int  # of the chunk, at 22,050 Hz; where that frame is centred
    frames: int

    @classmethod
    def of(cls, start_s: float, duration_s: float) -> "Columns":
        """Of a chunk by its index row."""
        start, stop = round(start_s * SAMPLE_RATE), round((start_s + duration_s) * SAMPLE_RATE)
        first, end = frame_count(start), frame_count(stop)  # consecutive chunks share no frame
        return cls(first, first * HOP_LENGTH - start, end - first)

    def column(self, sample: int) -> int:
        """The column that is centred on a sample of the chunk, at 22,050 Hz; negative before the
        first one. ValueError where none is: a patch must begin on a frame's centre."""
        column, off = divmod(sample - self.first_sample, HOP_LENGTH)
        if off:
            raise ValueError(f"sample {sample} is {off} samples behind a frame's centre")
        return column

    def before(self, sample: int) -> int:
        """The last sample up to this one on which a frame is centred, or else the first one."""
        return self.first_sample + HOP_LENGTH * max(0, (sample - self.first_sample) // HOP_LENGTH)


def frame_count(samples: int) -> int:
    """Frames of a song of so many samples at 22,050 Hz: those that are centred on one of them."""
    return -(-samples // HOP_LENGTH)


def frequencies() -> np.ndarray:
    """The rows' frequencies in Hz, float64 [360]."""
    return LOWEST_HZ * 2.0 ** (np.arange(ROWS) / ROWS_PER_OCTAVE)


def rows_of(f0_hz: np.ndarray) -> np.ndarray:
    """Frequencies in Hz, above 0 → rows, with fractions; off the grid: below 0 or above 359."""
    return ROWS_PER_OCTAVE * np.log2(np.asarray(f0_hz, np.float64) / LOWEST_HZ)


def quantised(likelihood: np.ndarray) -> np.ndarray:
    """Likelihoods in 0…1 → uint8 of the same shape."""
    return np.rint(np.clip(likelihood, 0, 1) * LEVELS).astype(np.uint8)


def encoded(values: np.ndarray, columns: Columns) -> bytes:
    """A chunk's salience as the file that lies in a shard; the same values give the same bytes.

    Args:
        values: uint8 [360, frames] (`quantised`).
        columns: which frames of the song these are.
    """
    if values.shape != (ROWS, columns.frames) or values.dtype != np.uint8:
        raise ValueError(f"salience is {values.dtype} {values.shape}, not uint8 of {columns}")
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        salience=values,
        first_frame=np.int64(columns.first_frame),
        first_sample=np.int64(columns.first_sample),
    )
    return buffer.getvalue()


def decoded(data: bytes) -> tuple[np.ndarray, Columns]:
    """The inverse of `encoded`; ValueError for anything else, whatever size it claims to have."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MOST_BYTES:
            raise ValueError(f"no salience: unpacks to {size:,} bytes")
        with np.load(io.BytesIO(data), allow_pickle=False) as held:
            values = held["salience"]
            first, sample = int(held["first_frame"]), int(held["first_sample"])
    except NOT_OURS as error:
        raise ValueError(f"no salience: {error}") from error
    if values.dtype != np.uint8 or values.ndim != 2 or len(values) != ROWS:
        raise ValueError(f"no salience: {values.dtype} {values.shape}")
    return values, Columns(first, sample, values.shape[1])
