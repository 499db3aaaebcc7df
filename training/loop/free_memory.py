"""How much memory is free for this process: of a GPU, of the machine, of its control group."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import torch

ROOT = Path("/")  # below which the kernel's files lie


class Groups(NamedTuple):
    """Where a version of control groups has its facts, below `ROOT` and in each group."""

    folder: str
    limit: str
    usage: str
    caches: tuple[str, ...]  # of files, in memory.stat: used, but given back when asked for


V1 = Groups(
    *("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ("total_inactive_file", "total_active_file"),
)
V2 = Groups("sys/fs/cgroup", "memory.max", "memory.current", ("inactive_file", "active_file"))


def of_device(device: torch.device) -> int | None:
    """The bytes that are free on a device for this process; None where nobody says.

    The processes of a machine that were started together share its memory equally.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + held
    if device.type != "cpu":
        return None
    found = [size for size in (of_machine(), *of_groups()) if size is not None]
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(found) // processes if found else None


def of_shared(folder: str = "/dev/shm") -> int | None:
    """The bytes through which worker processes send what they decode, 64 MB in a container unless
    it is told otherwise; None where there is no such folder."""
    try:
        facts = os.statvfs(folder)
    except OSError:
        return None
    return facts.f_bavail * facts.f_frsize


def of_machine(root: Path = ROOT) -> int | None:
    """What the machine can give without swapping; None where it does not say."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
    except OSError:
        return None  # not Linux
    return next((int(line.split()[1]) * 1024 for line in lines if "MemAvailable" in line), None)


def of_groups(root: Path = ROOT) -> Iterator[int]:
    """What each control group that limits this process leaves it, of either version."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" or "memory" in controllers.split(","):
            version = V2 if number == "0" else V1
            # In a container the path may be the host's, while the container's group is the root.
            place = PurePosixPath(path.lstrip("/"))
            for group in (place, *place.parents):
                left = _left(root / version.folder / group, version)
                if left is not None:
                    yield left


def _left(group: Path, names: Groups) -> int | None:
    """A group's limit less what it uses; None where it has no limit, or is not there."""
    try:
        most, used = (
            (group / names.limit).read_text().strip(),
            int((group / names.usage).read_text()),
        )
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    if most == "max":
        return None
    return max(0, int(most) - used + sum(int(stat.get(key, 0)) for key in names.caches))
