"""Audio that is too long for memory: resampled, stored on disk, read block by block."""

import contextlib
import queue
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, TypeVar

import numpy as np
import soxr
import torch
from torch import Tensor

from stemlode import audio, runs

Block = TypeVar("Block")
AHEAD = 4  # blocks that are made before they are wanted


def ahead(blocks: Iterable[Block]) -> Iterator[Block]:
    """The same blocks, made ahead by another thread (decoders release Python's lock).

    Exceptions of that thread are raised here. At most a few blocks are held.
    """
    made: queue.Queue[tuple[Block | None, BaseException | None]] = queue.Queue(AHEAD)
    stopped = threading.Event()

    def hand_over(block: Block | None, error: BaseException | None = None) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                return made.put((block, error), timeout=0.1)

    def work() -> None:
        try:
            for block in blocks:
                hand_over(block)
                if stopped.is_set():
                    return
            hand_over(None)
        except BaseException as error:  # whoever takes the blocks shall see it
            hand_over(None, error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            block, error = made.get()
            if error is not None:
                raise error
            if block is None:
                return
            yield block
    finally:
        stopped.set()
        thread.join()


class ScratchError(OSError):
    """The folder for temporary files (`TMPDIR`) does not take them."""


@contextlib.contextmanager
def scratch() -> Iterator[None]:
    """Within it, what fails is a temporary file."""
    try:
        yield
    except OSError as error:
        where = f"temporary files in {tempfile.gettempdir()} (TMPDIR)"
        raise ScratchError(f"{where}: {runs.reason(error)}") from error


def decode_to(source: str, to: Mapping[int, IO[bytes]]) -> tuple[int, int, int]:
    """Decode a file into one file of float32 frames for each rate; its frames, channels and own
    rate."""
    frames = 0
    resamplers: dict[int, Resampler] = {}
    for block in ahead(audio.blocks(source)):
        channels, sample_rate = block.samples.shape[0], block.sample_rate
        frames += block.samples.shape[1]
        for rate, file in to.items():
            if rate not in resamplers:
                resamplers[rate] = Resampler(sample_rate, rate, channels)
            with scratch():
                file.write(resamplers[rate].next(block.samples).T.tobytes())
    for rate, file in to.items():  # audio.blocks gives at least one block
        with scratch():
            file.write(resamplers[rate].end().T.tobytes())
            file.flush()
    return frames, channels, sample_rate


class OnDisk:
    """A spectrogram.Signal in a file of float32 frames, read when sliced.

    Not memory-mapped: mapped pages would count as the process' memory.
    """

    def __init__(self, file: IO[bytes], channels: int) -> None:
        self.file = file
        self.shape = channels, file.seek(0, 2) // (4 * channels)

    def __getitem__(self, channels_and_samples: tuple[slice, slice]) -> Tensor:
        first, last, _ = channels_and_samples[1].indices(self.shape[1])
        self.file.seek(4 * self.shape[0] * first)
        data = self.file.read(4 * self.shape[0] * max(0, last - first))
        frames = np.frombuffer(bytearray(data), np.float32).reshape(-1, self.shape[0])
        return torch.from_numpy(frames.T)[channels_and_samples[0]]


def resampled(blocks: Iterable[Tensor], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Blocks [channels, frames] at another rate."""
    resampler = None
    for block in blocks:
        if resampler is None:
            resampler = Resampler(from_rate, to_rate, block.shape[0])
        yield resampler.next(block.numpy())
    if resampler is not None:
        yield resampler.end()


class Taken:
    """Blocks [channels, frames] of any sizes, taken in other ones; zeros where they end."""

    def __init__(self, blocks: Iterator[np.ndarray]) -> None:
        self.blocks = blocks
        self.held = next(blocks)

    def next(self, frames: int) -> np.ndarray:
        """The next frames."""
        parts, have = [self.held], self.held.shape[1]
        while have < frames and (part := next(self.blocks, None)) is not None:
            parts.append(part)
            have += part.shape[1]
        held = np.concatenate(parts, axis=1)
        self.held = held[:, frames:]
        return fit(held, frames)


def fit(samples: np.ndarray, frames: int) -> np.ndarray:
    """[channels, n] cut or zero-padded to `frames`: resampling twice may give a frame too many or
    too few."""
    return np.pad(samples[:, :frames], ((0, 0), (0, max(0, frames - samples.shape[1]))))


class Resampler:
    """soxr over blocks [channels, frames]; nothing to do where the rates are equal."""

    def __init__(self, from_rate: int, to_rate: int, channels: int) -> None:
        self.channels = channels
        self.stream = None
        if from_rate != to_rate:
            self.stream = soxr.ResampleStream(
                from_rate, to_rate, channels, dtype="float32", quality=audio.QUALITY
            )

    def next(self, block: np.ndarray) -> np.ndarray:
        """The resampled frames that a block completes."""
        return block if self.stream is None else self._chunk(block, last=False)

    def end(self) -> np.ndarray:
        """The frames that are left after the last block."""
        empty = np.zeros((self.channels, 0), np.float32)
        return empty if self.stream is None else self._chunk(empty, last=True)

    def _chunk(self, block: np.ndarray, last: bool) -> np.ndarray:
        assert self.stream is not None
        frames = np.ascontiguousarray(block.T, np.float32)  # [frames, channels]
        return self.stream.resample_chunk(frames, last=last).reshape(-1, self.channels).T
