"""What the fields of a recipe may hold: names of sources, and numbers within bounds."""

import math
import re
from collections.abc import Mapping
from typing import Any

SOURCE = re.compile(r"[a-z][a-z0-9_]{0,40}")
LARGEST = {"sample_rate": 192_000, "n_fft": 65_536, "patch_frames": 65_536, "batch_size": 65_536}
LARGEST |= {"channels": 65_536, "kernel_size": 255, "patch_seconds": 3600, "decay": 1}
LARGEST |= {"features": 65_536, "hidden": 65_536, "mask_hidden": 65_536, "layers": 256}
LARGEST |= {"stride": 64, "context": 255, "lstm_layers": 16}
LARGEST |= {"bands": 192_000, "gain_db": 120, "chunk_seconds": 600}
ZERO_ALLOWED = {"beta1", "dropout", "dropout_layers", "leakiness", "remix_db", "clip_norm"}
ZERO_ALLOWED |= {"chunk_seconds", "gain_db", "drop", "conservation_weight", "ema_decay"}


def many(value: Any) -> tuple[Any, ...]:
    """The values of a field as a tuple."""
    return value if isinstance(value, tuple) else (value,)


def rest_of(source: str) -> str:
    """The name of what is left of a mixture without a source."""
    named = {"vocals": "accompaniment", "accompaniment": "vocals"}
    return named.get(source, f"no_{source}")


def shown(value: Any) -> str:
    """A field's value as text."""
    return " ".join(map(str, many(value)))


def check(fields: Mapping[str, Any]) -> None:
    """Raises ValueError naming the field whose number cannot be."""
    for field, value in fields.items():
        numbers = [v for v in many(value) if not isinstance(v, str)]
        if not all(math.isfinite(number) and number >= 0 for number in numbers):
            raise ValueError(f"{field} is {shown(value)}")
        if field not in ZERO_ALLOWED and 0 in [n for n in numbers if n is not False]:
            raise ValueError(f"{field} is {shown(value)}; it must be above 0")
        if max(numbers, default=0) > LARGEST.get(field, math.inf):
            raise ValueError(f"{field} is {shown(value)}; at most {LARGEST[field]}")
