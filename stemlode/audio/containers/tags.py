"""Tags at the ends of a file and in its middle: how long they are. Free of Beam."""

from stemlode.audio.containers.opening import Bytes


def after_tags(file: Bytes) -> int:
    """Where a file's content begins: after the ID3v2 tags at its head."""
    at = 0
    while True:
        file.seek(at)
        head = file.read(10)
        size = tag_bytes(head) if head[:3] == b"ID3" else 0
        if not size:
            return at
        at += size


def tag_bytes(data: bytes) -> int:
    """How many bytes the tag is long that begins here; 0 where none does."""
    if data[:3] == b"ID3" and len(data) >= 10 and max(data[6:10]) < 0x80:
        size = data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9]
        return 10 + size + (10 if data[5] & 0x10 else 0)
    if data[:8] == b"APETAGEX" and len(data) >= 16:
        return 32 + int.from_bytes(data[12:16], "little")
    if data[:3] == b"TAG":
        return 128
    return len(data) if data[:11] == b"LYRICSBEGIN" else 0
