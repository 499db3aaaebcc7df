"""What every other folder stands on, and the Python API.

What is public stands in `__all__`, with the version of all of it; anything else may move with any
release. A name is looked for when it is first used, so that `import stemlode` loads nothing else.
`docs/python.md` has the examples.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemlode.api.corpora import Chunk, OpenCorpus, open_corpus
    from stemlode.api.results import Run, open_run
    from stemlode.api.verbs import corpus, evaluate, match, prune, scan
    from stemlode.runs import BadUsage, Failed
    from training.separation.separator import Separator, load

# Of the names below: the first number changes when one goes or takes other arguments, the second
# when one comes.
API_VERSION = "1.0"

__all__ = [
    "API_VERSION",
    "BadUsage",
    "Chunk",
    "Failed",
    "OpenCorpus",
    "Run",
    "Separator",
    "corpus",
    "evaluate",
    "load",
    "match",
    "open_corpus",
    "open_run",
    "prune",
    "scan",
]

_PLACES = {
    "stemlode.api.verbs": ("scan", "match", "prune", "corpus", "evaluate"),
    "stemlode.api.results": ("Run", "open_run"),
    "stemlode.api.corpora": ("Chunk", "OpenCorpus", "open_corpus"),
    "stemlode.runs": ("BadUsage", "Failed"),
    "training.separation.separator": ("Separator", "load"),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        found = getattr(importlib.import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        extras = importlib.import_module("stemlode.extras")
        missing = error.name or ""
        if missing.partition(".")[0] in extras.OURS:
            raise
        line = extras.line(missing, ["train"], f"stemlode.{name}")
        raise ImportError(line, name=missing) from error
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
