"""Web servers: a client that does not wait for ever, and asks whom it is about to connect to.

The number that a name stands for is checked when the connection is made, so neither a redirect, nor
a name server that gives another answer the second time, nor a way to write an address that two
libraries read differently leads anywhere else.
"""

import errno
import functools
import os
import re
import socket
from typing import Any

from fsspec import AbstractFileSystem

from stemlode.addresses import waiting
from stemlode.addresses.rules import SAID, WAY_OUT, Rules, literal, of_number, said

_REFUSAL = re.compile(rf"{SAID}.*?{WAY_OUT}")
_SYSTEMS: dict[tuple[int, float, Rules | None], AbstractFileSystem] = {}


def system(rules: Rules | None) -> AbstractFileSystem:
    """The file system of http:// and https://, by these rules; without any for what a user named.

    Raises ImportError where aiohttp is not installed.
    """
    from fsspec.implementations.http import HTTPFileSystem  # noqa: PLC0415 - it needs aiohttp

    key = (os.getpid(), waiting.silent_s(), rules)
    if key not in _SYSTEMS:
        client = functools.partial(_client, rules)
        _SYSTEMS[key] = HTTPFileSystem(get_client=client, skip_instance_cache=True)
    return _SYSTEMS[key]


def refusal(error: BaseException | None) -> str | None:
    """Why a connection was refused by the rules, from what the client raised; None for all else."""
    while error is not None:
        if (found := _REFUSAL.search(str(error))) is not None:
            return found[0]
        error = error.__cause__ or error.__context__
    return None


async def _client(rules: Rules | None, **facts: Any) -> Any:
    import aiohttp  # noqa: PLC0415 - where web servers are asked at all

    timeout = waiting.client_timeout()
    if rules is None:
        return aiohttp.ClientSession(timeout=timeout, **facts)
    guard = _Guard(rules)

    class Resolver(aiohttp.ThreadedResolver):
        """Notes what the names stand for that the user allows."""

        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_UNSPEC) -> Any:
            found = await super().resolve(host, port, family)
            if guard.rules.lets(host, port):
                guard.allowed |= {(entry["host"], entry["port"]) for entry in found}
            return found

    connector = aiohttp.TCPConnector(resolver=Resolver(), socket_factory=guard)
    return aiohttp.ClientSession(timeout=timeout, connector=connector, **facts)


class _Guard:
    """Makes the sockets of a client, for numbers that may be connected to."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.allowed: set[tuple[str, int]] = set()

    def __call__(self, info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, (host, port, *_) = info
        number = literal(host)
        if (host, port) not in self.allowed and not self.rules.lets(host, port):
            why = "no number of a machine" if number is None else of_number(number)
            if why is not None:
                raise OSError(errno.EACCES, said(why))
        return socket.socket(family, kind, protocol)
