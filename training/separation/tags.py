"""What a song's file says of it, carried over to its stems: words, and the picture of its cover.

| format | words | cover |
| mp3, m4a, opus, flac, ogg | all of WORDS that it knows | yes |
| wav | those that RIFF's INFO knows | no |
"""

import base64
import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stemlode import files

WORDS = (
    *("title", "artist", "album", "album_artist", "composer", "genre", "date", "track", "disc"),
    *("comment", "copyright", "license", "isrc"),
)
_OTHERWISE = {"year": "date", "tracknumber": "track", "discnumber": "disc", "tsrc": "isrc"}
_SNDFILE = {name: name for name in ("title", "artist", "album", "genre", "date", "comment")}
_SNDFILE |= {"copyright": "copyright", "license": "license", "track": "tracknumber"}
_INFO = {"title": b"INAM", "artist": b"IART", "album": b"IPRD", "genre": b"IGNR", "date": b"ICRD"}
_INFO |= {"track": b"ITRK", "comment": b"ICMT", "copyright": b"ICOP"}
_PICTURES = {"mjpeg": "image/jpeg", "png": "image/png"}
_PIPES = {"image/jpeg": "jpeg_pipe", "image/png": "png_pipe"}
LONGEST_WORD, LARGEST_COVER = 4096, 12 << 20  # characters, bytes
SAME_BYTES = {"fflags": "+bitexact"}  # else a stream of Ogg has a number of chance
_FRONT_COVER = 3  # of a FLAC picture block


@dataclass(frozen=True)
class Cover:
    """A picture as it is."""

    mime: str
    data: bytes
    width: int
    height: int

    @property
    def block(self) -> bytes:
        """As FLAC and Ogg hold it (RFC 9639, 8.8)."""
        mime = self.mime.encode()
        head = struct.pack(">II", _FRONT_COVER, len(mime)) + mime + struct.pack(">I", 0)
        return head + struct.pack(
            ">IIIII", self.width, self.height, 24, 0, len(self.data)
        ) + self.data  # fmt: skip


@dataclass(frozen=True)
class Tags:
    """Of a song; words by name."""

    words: Mapping[str, str] = field(default_factory=dict)
    cover: Cover | None = None

    @property
    def licence(self) -> str:
        """What the song may be used under, by itself; empty where it does not say."""
        return self.words.get("license") or self.words.get("copyright", "")

    def of_ffmpeg(self, form: str) -> dict[str, str]:
        """As one of its muxers takes them."""
        found = dict(self.words)
        if form == "mp3" and "isrc" in found:
            found["TSRC"] = found.pop("isrc")
        if form in ("opus", "ogg") and self.cover:
            found["METADATA_BLOCK_PICTURE"] = base64.b64encode(self.cover.block).decode()
        return found

    def of_sndfile(self) -> dict[str, str]:
        """As attributes of a SoundFile."""
        return {_SNDFILE[name]: said for name, said in self.words.items() if name in _SNDFILE}

    def info(self) -> bytes:
        """A LIST chunk of RIFF; empty where there is nothing to say."""
        parts = b""
        for name, said in self.words.items():
            if name in _INFO:
                data = said.encode() + b"\0"
                parts += _INFO[name] + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
        return b"LIST" + struct.pack("<I", 4 + len(parts)) + b"INFO" + parts if parts else b""


def read(source: str) -> Tags:
    """What a file says; nothing where it cannot be opened, which its decoder judges."""
    import av  # noqa: PLC0415 - not needed where nothing is separated

    try:
        with (
            files.open_input(source) as file,
            av.open(file, metadata_errors="replace") as container,
        ):
            said = {**container.metadata}
            for stream in container.streams.audio[:1]:
                said = {**stream.metadata, **said}
            return Tags(_words(said), _cover(container))
    except (av.FFmpegError, OSError, ValueError):
        return Tags()


def _words(said: Mapping[str, str]) -> dict[str, str]:
    known: dict[str, str] = {}
    for key, value in said.items():
        name = _OTHERWISE.get(key.lower(), key.lower())
        clean = value.replace("\0", " ").strip()[:LONGEST_WORD]
        if name in WORDS and clean:
            known.setdefault(name, clean)
    return {name: known[name] for name in WORDS if name in known}


def _cover(container: Any) -> Cover | None:
    import av  # noqa: PLC0415 - as above

    for stream in container.streams.video:
        mime = _PICTURES.get(stream.codec_context.name)
        if mime is None or not stream.disposition & av.stream.Disposition.attached_pic:
            continue
        for packet in container.demux(stream):
            data = bytes(packet)
            if 0 < len(data) <= LARGEST_COVER:
                return Cover(mime, data, stream.codec_context.width, stream.codec_context.height)
            break
    return None


def add_cover(sink: Any, cover: Cover) -> Any:
    """Give a container of ffmpeg's a stream for a picture; the packet for it, to be muxed first."""
    import av  # noqa: PLC0415 - as above

    with av.open(io.BytesIO(cover.data), "r", format=_PIPES[cover.mime]) as picture:
        stream = sink.add_stream_from_template(picture.streams.video[0])
        stream.disposition = av.stream.Disposition.attached_pic
        packet = next(picture.demux(picture.streams.video[0]))
        packet.stream = stream
    return packet


def add(source: str, to: str, form: str, said: Tags) -> None:
    """A file of FLAC or Ogg Vorbis with all that is said of its song; its sound is copied."""
    import av  # noqa: PLC0415 - as above

    with (
        av.open(source) as given,
        av.open(to, "w", format=form, container_options=SAME_BYTES) as sink,
    ):
        sound = given.streams.audio[0]
        stream = sink.add_stream_from_template(sound)
        sink.metadata.update(said.of_ffmpeg(form))
        if said.cover and form == "flac":
            sink.mux(add_cover(sink, said.cover))
        for packet in given.demux(sound):
            if packet.size:  # the last one is empty
                packet.stream = stream
                sink.mux(packet)
