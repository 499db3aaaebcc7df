"""Models of the Hugging Face Hub, or another server that speaks as it does (`HF_ENDPOINT`).

`hf://owner/name@revision`: a revision is a branch, a tag or a commit, and without one the main
branch. It is looked up once and becomes a commit; what a commit holds is in the Hub's own cache
(`HF_HOME`), by its hash, which is checked at every load. Private ones need `HF_TOKEN`.
"""

import contextlib
import hashlib
import os
import re
import sys
from pathlib import Path
from typing import Any

from stemlode import extras, files, runs
from stemlode.addresses.pinned import COMMIT, HUB
from stemlode.runs import BadUsage, Failed
from training.published.kept import MODEL

_NAME = re.compile(
    r"hf://(?P<repo>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>refs/pr/\d+|[\w][\w.+-]*))?"
    r"(/(?P<folder>[\w][\w.+ -]*(/[\w][\w.+ -]*)*))?"
)
_SHA1, _SHA256 = 40, 64  # hex digits
_WAIT_S = 10


def pinned(name: str) -> str:
    """The same address with a commit.

    Raises BadUsage where there is no such model or revision, Failed where the server does not
    answer and the cache does not know.
    """
    repo, revision, folder = _parts(name)
    if not COMMIT.fullmatch(revision):
        revision = _commit(name, repo, revision)
    return f"{HUB}{repo}@{revision}" + (f"/{folder}" if folder else "")


def weights(address: str) -> str:
    """The file of weights of an address with a commit: from the cache, else from the server."""
    hub = _library(address)
    repo, commit, folder = _parts(address)
    name = f"{folder}/{MODEL}" if folder else MODEL
    held = hub.try_to_load_from_cache(repo, name, revision=commit)
    if isinstance(held, str) and _is_whole(held):
        return held
    damaged = isinstance(held, str)
    try:
        found = str(
            hub.hf_hub_download(
                repo, name, revision=commit, endpoint=_endpoint(), force_download=damaged
            )
        )
    except Exception as error:  # its transports' classes change with its versions
        raise _said(hub, address, error, "and the cache does not hold it yet") from error
    if not _is_whole(found):
        raise Failed(f"--checkpoint {address}: what came is not what its hash says; run again")
    return found


def _parts(name: str) -> tuple[str, str, str]:
    found = _NAME.fullmatch(name)
    if found is None:
        raise BadUsage(f"--checkpoint {name}: is not hf://OWNER/NAME, @REVISION and /FOLDER after")
    return found["repo"], found["revision"] or "main", found["folder"] or ""


def _library(name: str) -> Any:
    try:
        import huggingface_hub.constants  # noqa: PLC0415 (an extra)
        import huggingface_hub.errors  # noqa: PLC0415 (its parts come when they are named)
    except ImportError as error:
        raise BadUsage(extras.line("huggingface_hub", [], f"--checkpoint {name}")) from error
    return huggingface_hub


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _commit(name: str, repo: str, revision: str) -> str:
    hub = _library(name)
    try:
        facts = hub.HfApi(endpoint=_endpoint()).model_info(repo, revision=revision, timeout=_WAIT_S)
        commit = str(facts.sha)
    except Exception as error:  # as above
        said = _said(hub, name, error, "and the cache knows no commit of it")
        held = _ref(hub, repo, revision)
        commit = held.read_text().strip() if held.is_file() else ""
        if isinstance(said, BadUsage) or not COMMIT.fullmatch(commit):
            raise said from error
        line = f"{name}: the hub does not answer; taking {commit[:12]} of the cache"
        print(runs.on_one_line(line), file=sys.stderr)
        return commit
    with contextlib.suppress(OSError):  # a cache that cannot be written serves all the same
        files.write_bytes(str(_ref(hub, repo, revision)), commit.encode())
    return commit


def _ref(hub: Any, repo: str, revision: str) -> Path:
    """Where the hub's cache keeps which commit a branch or tag last was."""
    folder = f"models--{repo.replace('/', '--')}"
    return Path(hub.constants.HF_HUB_CACHE) / folder / "refs" / revision


def _said(hub: Any, name: str, error: Exception, else_: str) -> BadUsage | Failed:
    kinds = hub.errors
    what = f"--checkpoint {name}"
    if isinstance(error, kinds.GatedRepoError):
        return BadUsage(f"{what}: its owner lets nobody in who has not asked: see its page")
    if isinstance(error, kinds.RepositoryNotFoundError):
        return BadUsage(f"{what}: no such model, or a private one, which needs HF_TOKEN")
    if isinstance(error, kinds.RevisionNotFoundError):
        return BadUsage(f"{what}: the model has no such revision")
    absent = isinstance(error, kinds.EntryNotFoundError)
    if absent and not isinstance(error, kinds.LocalEntryNotFoundError):
        return BadUsage(f"{what}: holds no {MODEL}")
    if isinstance(error, kinds.HFValidationError):
        return BadUsage(f"{what}: {runs.reason(error)}")
    return Failed(f"{what}: cannot be fetched, {else_}: {runs.reason(error)}")


def _is_whole(path: str) -> bool:
    """Whether a file of the cache is what its name says: the hash of its content, or of git's
    object; without such a name (a cache without links) nothing is known here."""
    name = Path(os.path.realpath(path)).name
    if re.fullmatch(r"[0-9a-f]+", name) is None or len(name) not in (_SHA1, _SHA256):
        return True
    if len(name) == _SHA256:
        return files.sha256(path) == name
    data = files.read_bytes(path)
    whole = f"blob {len(data)}\0".encode() + data
    return hashlib.sha1(whole, usedforsecurity=False).hexdigest() == name
