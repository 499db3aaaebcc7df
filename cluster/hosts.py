"""Hosts on one machine: network namespaces with an address and a name each, joined by a bridge.

All their traffic stays on these addresses; none of them has a way out. Needs root and iproute2.
Without these a host is this machine itself, by its loopback.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

NETWORK = "10.99.0"
NAMES = Path("/etc/netns")  # whose files `ip netns exec` shows as those of /etc


def available() -> bool:
    """Whether namespaces can be made here."""
    return (
        os.geteuid() == 0 and shutil.which("ip") is not None and shutil.which("unshare") is not None
    )


class Hosts:
    """Some hosts by their names. A context: what it made goes at its end."""

    def __init__(self, names: Sequence[str], *, apart: bool) -> None:
        """`apart`: in namespaces of their own, or else all on the loopback."""
        self.apart = apart
        self._mark = f"stemlode-{os.getpid()}"
        self.addresses = {
            name: f"{NETWORK}.{number}" if apart else "127.0.0.1"
            for number, name in enumerate(names, 1)
        }

    def __enter__(self) -> "Hosts":
        if self.apart:
            try:
                self._make()
            except BaseException:
                self._remove()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.apart:
            self._remove()

    def start(
        self, host: str, words: Sequence[str], env: Mapping[str, str], log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """A program on a host, in a process group of its own."""
        if self.apart:
            named = ["unshare", "--uts", "sh", "-c", 'hostname "$0"; exec "$@"', host, *words]
            words = ["ip", "netns", "exec", self._space(host), *named]
        return subprocess.Popen(
            words,
            env=dict(env),
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _space(self, host: str) -> str:
        return f"{self._mark}-{host}"

    def _make(self) -> None:
        switch = self._space("switch")
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "bridge0", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge0", "up")
        listed = "".join(f"{address} {name}\n" for name, address in self.addresses.items())
        for number, (name, address) in enumerate(self.addresses.items()):
            space, port = self._space(name), f"port{number}"
            _ip("netns", "add", space)
            ends = ("eth0", "netns", space, "type", "veth", "peer", "name", port, "netns", switch)
            _ip("link", "add", *ends)
            _ip("-n", switch, "link", "set", port, "master", "bridge0", "up")
            _ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
            for link in ("eth0", "lo"):
                _ip("-n", space, "link", "set", link, "up")
            (NAMES / space).mkdir(parents=True)
            (NAMES / space / "hosts").write_text(f"127.0.0.1 localhost\n{listed}")

    def _remove(self) -> None:
        for name in (*self.addresses, "switch"):
            space = self._space(name)
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)
            shutil.rmtree(NAMES / space, ignore_errors=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
