"""f0, voices and notes in the field's file formats: CSV, ragged TSV (mir_eval), JAMS."""

import json
from collections.abc import Iterable

import numpy as np

from training.pitch.notes import Note
from training.pitch.targets import F0

JAMS_VERSION = "0.3.5"


def csv(f0: F0) -> bytes:
    """`time_s,f0_hz,confidence`, a row a frame; an unvoiced f0 is negative, or 0 without pitch."""
    rows = zip(f0.time_s, f0.f0_hz, f0.confidence, strict=True)
    lines = ["time_s,f0_hz,confidence", *(f"{t:.6f},{f + 0.0:.3f},{c:.4f}" for t, f, c in rows)]
    return ("\n".join(lines) + "\n").encode()


def ragged(frames: Iterable[tuple[float, np.ndarray]]) -> bytes:
    """A time in seconds and the frequencies that sound then, in Hz, separated by tabs: a line a
    frame, as `mir_eval.io.load_ragged_time_series` reads it."""
    lines = ("\t".join([f"{time:.6f}", *(f"{f:.3f}" for f in found)]) for time, found in frames)
    return "".join(f"{line}\n" for line in lines).encode()


def jams(name: str, duration_s: float, who: str, version: str, f0: F0, notes: list[Note]) -> bytes:
    """A JAMS file (Humphrey et al., ISMIR 2014) with the namespaces pitch_contour and note_hz.

    Args:
        name: the song's title.
        who, version: what gave the annotation.
    """
    contour = [
        {
            "time": round(float(t), 6),
            "duration": 0.0,
            "value": {"index": 0, "frequency": round(abs(float(f)), 3), "voiced": bool(f > 0)},
            "confidence": round(float(c), 4),
        }
        for t, f, c in zip(f0.time_s, f0.f0_hz, f0.confidence, strict=True)
    ]
    sung = [
        {
            "time": round(note.start_s, 6),
            "duration": round(note.duration_s, 6),
            "value": round(note.f0_hz, 3),
            "confidence": round(note.confidence, 4),
        }
        for note in notes
    ]
    facts = {"annotation_tools": who, "version": version, "data_source": "program"}
    blank = {"annotation_rules": "", "validation": "", "corpus": "", "annotator": {}}
    said = {**facts, **blank, "curator": {"name": "", "email": ""}}
    annotations = [
        {
            "namespace": namespace,
            "data": data,
            "annotation_metadata": said,
            "sandbox": {},
            "time": 0,
            "duration": round(duration_s, 6),
        }
        for namespace, data in (("pitch_contour", contour), ("note_hz", sung))
    ]
    known = {"title": name, "artist": "", "release": "", "duration": round(duration_s, 6)}
    about = {**known, "identifiers": {}, "jams_version": JAMS_VERSION}
    whole = {"annotations": annotations, "file_metadata": about, "sandbox": {}}
    return json.dumps(whole, ensure_ascii=False).encode(errors="backslashreplace")
