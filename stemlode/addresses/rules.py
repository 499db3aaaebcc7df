"""What may be opened of what a catalogue names.

A catalogue is data: whoever wrote it shall not choose what is read on the machine that works on
it. Without further words these are opened:

* plain local paths inside the roots that the run has recorded, or any where none was recorded, but
  nothing in /proc, /sys and /dev;
* gs:// and s3://;
* http:// and https:// on public addresses, wherever they redirect to (see `web`).

What a user names on the command line is not a catalogue's address and is not asked about.
"""

import dataclasses
import ipaddress
import os
import re
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

# Why a file that was not opened is rejected, in a word; either may be another another time.
REFUSED, UNREACHABLE = "refused_address", "unreachable"
NOT_OPENED = (REFUSED, UNREACHABLE)
SAID, WAY_OUT = "refused address", "--allow-uri opens it"
STORES, WEB = ("gs", "gcs", "s3", "s3a"), ("http", "https")
SYSTEM = ("proc", "sys", "dev")  # the system's own folders
# Public by their numbers, and yet what a cloud's machines ask for their own credentials.
_METADATA = frozenset({ipaddress.ip_address("168.63.129.16")})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SCHEME = re.compile(r"((?:\w+::)*)([A-Za-z][\w+.-]*)://")
_PORTS = {"http": 80, "https": 443}

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclasses.dataclass(frozen=True)
class Rules:
    """What may be opened. Small and picklable.

    Args:
        roots: folders below which a catalogue's local files lie; None where none was recorded.
        allowed: what the user allows beside all this: beginnings of addresses, or folders.
        follow_links: whether a link may lead out of the roots.
    """

    roots: tuple[str, ...] | None = None
    allowed: tuple[str, ...] = ()
    follow_links: bool = True

    def refusal(self, uri: str) -> str | None:
        """Why an address is not opened, in a few words; None where it may be."""
        if (found := scheme(uri)) is None:
            return self._of_local(uri)
        chain, name = found
        if self._begins_as_allowed(uri):
            return None
        if chain or ("::" in uri and name not in WEB):
            return "chained protocols"
        if name in WEB:
            return _of_web(uri)
        return None if name in STORES else f"{name}://"

    def lets(self, host: str, port: int) -> bool:
        """Whether the user allows a web server by its name and port."""
        for prefix in self.allowed:
            found = scheme(prefix)
            if found is None or found[0] or found[1] not in WEB:
                continue
            try:
                parts = urlsplit(prefix)
                known, at = parts.hostname or "", parts.port or _PORTS[found[1]]
            except ValueError:
                continue
            if not known or (_same_host(known, host) and at == port):
                return True
        return False

    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Rules":
        """From what `facts` gave."""
        roots = facts["roots"]
        kept = None if roots is None else tuple(roots)
        return cls(kept, tuple(facts["allowed"]), facts["follow_links"])

    def _begins_as_allowed(self, uri: str) -> bool:
        if ".." in re.split(r"[/\\]", unquote(uri)):
            return False
        return any(
            scheme(prefix) is not None and f"{uri}/".startswith(f"{prefix.rstrip('/')}/")
            for prefix in self.allowed
        )

    def _of_local(self, path: str) -> str | None:
        if "\0" in path:
            return None  # nothing can open it
        plain, real = os.path.normpath(Path(path).absolute()), os.path.realpath(path)
        # `..` behind a link leads elsewhere than the path says.
        shown = real if ".." in Path(path).parts else plain
        if _is_at(shown, real, self.allowed)[0]:
            return None
        for top in (*Path(plain).parts[1:2], *Path(real).parts[1:2]):
            if top in SYSTEM:
                return f"a file of the system, in /{top}"
        if self.roots is None:
            return None
        inside, at_home = _is_at(shown, real, self.roots)
        if not inside:
            return "outside the folders of the run's inputs"
        leaves = not at_home and not self.follow_links
        return "a link that leads out of the folders of the run's inputs" if leaves else None


class Address(str):
    """An address that a catalogue names, with the rules that hold for it.

    A string everywhere else: what opens files asks the rules, whatever it was handed on through.
    """

    __slots__ = ("rules",)
    rules: Rules

    def __new__(cls, uri: str, rules: Rules) -> "Address":
        made = super().__new__(cls, uri)
        made.rules = rules
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Address, (str(self), self.rules)

    def refusal(self) -> str | None:
        """As `Rules.refusal`, with what it is about."""
        why = self.rules.refusal(self)
        return None if why is None else said(why)


def said(why: str) -> str:
    """A refusal as a reject has it, with the way out."""
    return f"{SAID}: {why}; {WAY_OUT}"


def refusal(uri: str) -> str | None:
    """Why a catalogue's address is not opened; None where it is, and for what a user names."""
    return uri.refusal() if isinstance(uri, Address) else None


def scheme(uri: str) -> tuple[str, str] | None:
    """The protocols in front of a scheme (`zip::`), and the scheme in small letters; None for a
    local path."""
    found = _SCHEME.match(uri)
    return (found[1], found[2].lower()) if found else None


def literal(host: str) -> Ip | None:
    """The number that a host is written as: also as decimal, octal or hex, as the system reads it.

    Other names are looked up when they are connected to.
    """
    host = host.partition("%")[0]
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):  # a name
        return None


def of_number(number: Ip) -> str | None:
    """Why a machine with this number is not asked for files; None for public ones."""
    for inner in (*_within(number), number):
        if inner in _METADATA:
            return f"{inner}, a cloud's own service"
        if inner.is_link_local:
            return f"{inner}, a link-local address, as metadata servers have"
        if inner.is_loopback or inner.is_unspecified:
            return f"{inner}, this machine"
        if not inner.is_global or inner.is_multicast or inner.is_reserved:
            return f"{inner}, no public address"
    return None


def _within(number: Ip) -> list[ipaddress.IPv4Address]:
    """The IPv4 numbers that an IPv6 number stands for."""
    if isinstance(number, ipaddress.IPv4Address):
        return []
    teredo = number.teredo or ()
    found = [number.ipv4_mapped, number.sixtofour, *teredo]
    if number in _NAT64 or 1 < int(number) < 1 << 32:  # by a translator, or the old compatible form
        found.append(ipaddress.IPv4Address(int(number) & 0xFFFFFFFF))
    return [inner for inner in found if inner is not None]


def _same_host(first: str, second: str) -> bool:
    numbers = literal(first), literal(second)
    if None not in numbers:
        return numbers[0] == numbers[1]
    return first.lower().rstrip(".") == second.lower().rstrip(".")


def _is_at(shown: str, real: str, folders: Iterable[str]) -> tuple[bool, bool]:
    """Whether a path lies in one of these folders, and whether it does so without a link."""
    local = [folder for folder in folders if scheme(folder) is None]
    at_home = _inside(real, map(os.path.realpath, local))
    return at_home or _inside(shown, local), at_home


def _inside(path: str, folders: Iterable[str]) -> bool:
    return any(os.path.commonpath([path, folder]) == os.path.normpath(folder) for folder in folders)


def _of_web(uri: str) -> str | None:
    """Of an address whose host is written as a number; names are looked up by who connects."""
    try:
        number = literal(urlsplit(uri).hostname or "")
    except ValueError:
        return "no address of a web server"
    return of_number(number) if number is not None else None
