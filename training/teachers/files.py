"""Teachers in files of other tools: ONNX and TorchScript, each with a JSON file beside it.

`separator.onnx` needs `separator.json`:

    {"sample_rate": 44100, "sources": ["vocals", "accompaniment"], "channels": 2}

and if needed `"samples"` (the only length that it takes: shorter input is zero-padded, longer input
is cut into overlapping pieces), `"batch"` (the only batch size that it takes), `"whole": false`
(its sources do not sum to the mixture). Nets that `stemlode export` wrote say
`"input": "spectrogram"` and have such a file already (`training.teachers.spectra`).

All others take float32 [batch, channels, samples] with full scale ±1 and give [batch, sources,
channels, samples]; for one source the second dimension may be missing. Opening a TorchScript file
runs the code in it; ONNX files hold no programs.
"""

import dataclasses
import hashlib
import json
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stemlode import extras, files, runs
from stemlode.runs import BadUsage, Failed
from training.recipes import chunks
from training.recipes.chunks import Chunking
from training.teachers import spectra
from training.teachers.spectra import Net
from training.teachers.teacher import FACTS, Teacher, checked

KNOWN = (*FACTS, "samples", "batch", "input", *spectra.FACTS)
_BESIDE = ("salience", *spectra.FURTHER)  # what `export` says besides; nothing to a teacher


def load(path: str, device: torch.device) -> Teacher:
    """A teacher from a file; BadUsage where it or its description is missing or wrong, Failed where
    it does not open."""
    facts = description(path)
    of_spectra = facts.get("input") == "spectrogram"
    known = {**facts, "channels": None} if of_spectra else facts
    teacher = checked(path, "", known, device, lambda mixture: mixture)
    data = _bytes(path)
    net = _onnx(path, data, device) if path.lower().endswith(".onnx") else _script(path, device)
    net = spectra.waveforms(net, facts) if of_spectra else net
    shaped = _shaped(net, len(teacher.sources), facts.get("samples"), facts.get("batch"))
    said = {name: facts.get(name) for name in KNOWN}
    sha256 = hashlib.sha256(data + json.dumps(said, sort_keys=True).encode()).hexdigest()
    at_once = facts.get("batch") or teacher.at_once
    return dataclasses.replace(teacher, sha256=sha256, call=shaped, at_once=at_once)


def description(path: str) -> dict[str, Any]:
    """The JSON beside a file; BadUsage where it is missing or does not make sense."""
    beside = str(path)[: -len(PurePosixPath(path).suffix)] + ".json"
    if not files.is_file(path):
        raise BadUsage(f"--teacher {path}: no such file")
    if not files.is_file(beside):
        raise BadUsage(f"--teacher {path}: needs {beside}, which says its rate and sources")
    try:
        facts = json.loads(files.read_bytes(beside))
    except (ValueError, RecursionError) as error:
        raise BadUsage(f"{beside}: no JSON: {runs.reason(error)}") from error
    if not isinstance(facts, dict):
        raise BadUsage(f"{beside}: no JSON object")
    unknown = sorted(set(facts) - {*KNOWN, *_BESIDE})
    if unknown:
        raise BadUsage(f"{beside}: {unknown[0]} is unknown; it may say {', '.join(KNOWN)}")
    if facts.get("input", "waveform") not in ("waveform", "spectrogram"):
        raise BadUsage(f"{beside}: input is {facts['input']!r}, not waveform or spectrogram")
    if facts.get("input") == "spectrogram":
        spectra.check(facts, beside)
    for name in ("samples", "batch"):
        value = facts.get(name)
        if value is not None and (type(value) is not int or not 0 < value < 1 << 31):
            raise BadUsage(f"{beside}: {name} is {value!r}, not a count")
    return facts


def _bytes(path: str) -> bytes:
    try:
        return files.read_bytes(path)
    except OSError as error:
        raise Failed(f"--teacher {path}: {runs.reason(error)}") from error


def _script(path: str, device: torch.device) -> Net:
    try:
        with files.open_input(path) as file:
            return torch.jit.load(file, map_location=device).eval()
    except (RuntimeError, OSError, ValueError) as error:
        raise Failed(f"--teacher {path}: no TorchScript: {runs.reason(error)}") from error


def _onnx(path: str, data: bytes, device: torch.device) -> Net:
    try:
        import onnxruntime  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise BadUsage(extras.line("onnxruntime", [], f"--teacher {path}")) from error
    wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
    known = [name for name in wanted if name in onnxruntime.get_available_providers()]
    try:
        session = onnxruntime.InferenceSession(data, providers=[*known, "CPUExecutionProvider"])
    except Exception as error:  # its own classes have no base but this
        raise Failed(f"--teacher {path}: no ONNX model: {runs.reason(error)}") from error
    given = [one.name for one in session.get_inputs()]
    if len(given) != 1:
        raise BadUsage(f"--teacher {path}: has inputs {', '.join(given)}; it must have one")

    def run(mixture: Tensor) -> Tensor:
        found = session.run(None, {given[0]: np.ascontiguousarray(mixture.cpu().numpy())})[0]
        return torch.from_numpy(found)

    return run


def _shaped(net: Net, sources: int, samples: int | None, batch: int | None) -> Net:
    """The net for any batch and any length, if it takes only one batch size or one length."""

    def whole(mixture: Tensor) -> Any:
        found = net(mixture)
        if isinstance(found, tuple | list) and len(found) == 1:
            found = found[0]
        is_single = isinstance(found, Tensor) and found.dim() == 3 and sources == 1
        return found[:, None] if is_single else found

    def batched(mixture: Tensor) -> Any:
        if batch is None or len(mixture) == batch:
            return whole(mixture)
        groups = mixture.split(batch)
        missing = batch - len(groups[-1])
        padded = [*groups[:-1], torch.nn.functional.pad(groups[-1], (0, 0, 0, 0, 0, missing))]
        return torch.cat([whole(group) for group in padded])[: len(mixture)]

    def pieced(mixture: Tensor) -> Any:
        length = mixture.shape[-1]
        if samples is None or length == samples:
            return batched(mixture)
        if length < samples:
            found = batched(torch.nn.functional.pad(mixture, (0, samples - length)))
            return found[..., :length] if isinstance(found, Tensor) else found
        cut = Chunking(float(samples), samples / 2)  # at a rate of 1: in samples
        return chunks.of_songs(mixture, 1, batched, cut)

    return pieced
