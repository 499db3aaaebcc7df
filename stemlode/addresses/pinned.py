"""Addresses that name their content: what they lead to is the same for ever, wherever it lies.

ADDRESS#sha256=HEX                   a file with this SHA-256, or a folder that holds it
hf://OWNER/NAME@COMMIT[/FOLDER]      a commit of a repository of models
"""

import re

HUB = "hf://"
_HASH = re.compile(r"#sha256=([0-9a-f]{64})$")
COMMIT = re.compile(r"[0-9a-f]{40}")


def content(address: str) -> str | None:
    """What the content is known by; None for an address whose content may change."""
    if found := _HASH.search(address):
        return f"sha256={found[1]}"
    revision = address.removeprefix(HUB).partition("@")[2].partition("/")[0]
    pinned = address.startswith(HUB) and COMMIT.fullmatch(revision)
    return address if pinned else None


def with_hash(address: str, sha256: str) -> str:
    """The address of a file whose hash is known."""
    return f"{address}#sha256={sha256}"


def parted(address: str) -> tuple[str, str]:
    """An address without its hash, and the hash; empty where there is none."""
    found = _HASH.search(address)
    return (address[: found.start()], found[1]) if found else (address, "")
