"""Identifiers that every engine derives alike."""

import hashlib


def digest(*parts: str) -> str:
    """First 32 hex digits of SHA-256 over the parts, each as length-prefixed UTF-8.

    The prefix is the part's length in bytes, in decimal, and a colon (`3:abc`), so that
    ("ab", "c") and ("a", "bc") differ. SQL can say the same with string functions alone.
    A lone surrogate, which UTF-8 cannot hold, counts as "?".
    """
    joined = b""
    for part in parts:
        data = part.encode("utf-8", errors="replace")
        joined += b"%d:%s" % (len(data), data)
    return hashlib.sha256(joined).hexdigest()[:32]
