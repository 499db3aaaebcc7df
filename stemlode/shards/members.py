"""Where each file of a sample lies in its shard: the column `members` of an index of version 2.

A reader asks for the bytes of the files that it wants, or of a part of one, and for no others. What
it gets is held to what lies around it: a tar header, or the header of a frame. Where they do not
fit, ValueError says so, and who asked reads the whole sample, as of version 1.
"""

from collections.abc import Mapping
from typing import Any, TypedDict

from stemlode import files
from stemlode.shards import flac

MOST = 1 << 31  # bytes of a sample
FURTHEST = 1 << 40  # byte of a shard
BLOCK = 512  # of a tar header, which lies before a file
WRONG = (ValueError, TypeError, OverflowError)  # what places raise that are none
GAP = 1 << 16  # bytes that are rather read than left out by a request more


class Member(TypedDict):
    """A file's place: bytes from the begin of the shard, or of the sample before it has one; and
    the seek points of FLAC (`flac.seek_points`), or None."""

    offset: int
    size: int
    seek_step: int | None
    seek_points: list[int] | None


def of_file(data: bytes, offset: int) -> Member:
    """The member of a file that begins at an offset."""
    step, points = flac.seek_points(data) or (None, None)
    return {"offset": offset, "size": len(data), "seek_step": step, "seek_points": points}


def moved(members: Mapping[str, Member], places: Mapping[str, int]) -> dict[str, Member] | None:
    """The members at other offsets; None where one of them has none, or there are no members."""
    if not members or not members.keys() <= places.keys():
        return None
    return {name: {**member, "offset": places[name]} for name, member in members.items()}


def of_row(row: Mapping[str, Any]) -> dict[str, Member]:
    """What a row of the index says of its sample's files; nothing in version 1."""
    return dict(row.get("members") or ())


def whole(path: str, sample_id: str, wanted: Mapping[str, Member]) -> dict[str, bytes]:
    """Files of a sample out of a tar, by name: those that lie side by side by one request, others
    by one each.

    Raises ValueError where they do not lie there, OSError where the shard cannot be read.
    """
    ordered = sorted(wanted.items(), key=lambda one: one[1]["offset"])
    groups: list[list[tuple[str, Member]]] = []
    for name, member in ordered:
        _check(member, BLOCK)
        last = groups[-1][-1][1] if groups else None
        gap = member["offset"] - last["offset"] - last["size"] if last else -1
        if 0 <= gap <= GAP:
            groups[-1].append((name, member))
        else:
            groups.append([(name, member)])
    found = {}
    for group in groups:
        begin = group[0][1]["offset"] - BLOCK
        end = group[-1][1]["offset"] + group[-1][1]["size"]
        data = memoryview(files.read_range(path, begin, end - begin))
        if len(data) < end - begin:
            raise ValueError("its shard breaks off")
        for name, member in group:
            at, size = member["offset"] - begin, member["size"]
            if _stated(data[at - BLOCK : at], f"{sample_id}.{name}") != size:
                raise ValueError("another file lies in its place")
            found[name] = bytes(data[at : at + size])
    return found


def part(path: str, member: Member, row: Mapping[str, Any], start: int, count: int) -> bytes:
    """A FLAC file of `count` of a member's samples, from `start` on, by one request; it may begin
    and end with some more of them, and states as many as the member holds.

    The first of its samples is number `first_of(member, start)`. Raises as `whole`; ValueError
    also where the member has no seek points.
    """
    step, points = member["seek_step"], member["seek_points"]
    if not step or step < 0 or not points:
        raise ValueError("it has no seek points")
    _check(member, 0)
    first = _point(step, points, start)
    after = max(first + 1, -(-(start + count) // step))
    begin = points[first]
    end = points[after] if after < len(points) else member["size"]
    if not 0 <= begin < end <= member["size"]:
        raise ValueError("its seek points lie outside of it")
    data = files.read_range(path, member["offset"] + begin, end - begin)
    if len(data) < end - begin:
        raise ValueError("its shard breaks off")
    total = round(row["duration_s"] * row["sample_rate"])
    return flac.as_file(data, first * step, total, row["sample_rate"], row["channels"])


def first_of(member: Member, start: int) -> int:
    """The first sample of the part that is read for samples from `start` on."""
    step, points = member["seek_step"], member["seek_points"]
    return _point(step, points, start) * step if step and points else 0


def _point(step: int, points: list[int], start: int) -> int:
    return max(0, min(start // step, len(points) - 1))


def _check(member: Member, before: int) -> None:
    if not (before <= member["offset"] <= FURTHEST and 0 < member["size"] <= MOST):
        raise ValueError("the index gives it no place in a shard of the corpus")


def _stated(head: memoryview, name: str) -> int:
    """The size that a tar header states; −1 where it is that of a file of another name."""
    if bytes(head[:100]).rstrip(b"\0") != name.encode():
        return -1
    return int(bytes(head[124:136]).rstrip(b"\0 "), 8)
