"""Which of two libraries decodes a file: its format and codec say so, and nothing else does.

Two decoders of one codec differ in a sample's last bits, so what has failed before must not choose
between them. libsndfile reads PCM of one or two channels, and MP3 of free format; FFmpeg reads the
rest. Free of Beam.
"""

import contextlib
import dataclasses
import functools
import io
import os
from collections.abc import Callable, Iterator, Sequence

from stemlode.audio import kinds, mixdown
from stemlode.audio.containers import chunks, flac, joined, mpeg, ogg, tags
from stemlode.audio.containers.info import COUNTED, STATED, AudioError, AudioInfo, Block, check_rate
from stemlode.audio.containers.opening import Bytes, Guarded, Section, opened_bytes
from stemlode.audio.libraries.ffmpeg import FFmpeg
from stemlode.audio.libraries.libsndfile import VERSION, Libsndfile


def name() -> str:
    """The decoders and their versions, as plans have them: other ones may give other samples."""
    try:
        import av  # noqa: PLC0415 - PCM is read without
    except ImportError:
        return f"libsndfile {VERSION}"
    libavcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    return f"libsndfile {VERSION} for PCM, FFmpeg's libavcodec {libavcodec} for the rest"


class Chain:
    """Several recordings in one file, which follow one another: the links of an Ogg file, or files
    that were joined."""

    streams: int
    channels: tuple[str, ...]

    def __init__(self, what: str, parts: "Sequence[Part]", held: contextlib.ExitStack) -> None:
        """`what` a part is called in an error."""
        self._what, self._parts = what, parts
        self.ended = True
        infos = []
        for part in parts:
            with part() as found:
                infos.append(counted(found))
                self.ended = found.ended
        self._first = held.enter_context(parts[0]())
        self.streams, self.channels = self._first.streams, self._first.channels
        stated = all(info.duration_source == STATED for info in infos)
        lossy = (info.format for info in infos if not kinds.is_lossless(info.format))
        self.info = dataclasses.replace(
            infos[0],
            duration_s=sum(info.duration_s for info in infos),
            duration_source=STATED if stated else COUNTED,
            format=next(lossy, infos[0].format),
        )

    def blocks(self, block_frames: int) -> Iterator[Block]:
        """Blocks of all parts. Their rate and channels may change."""
        yield from self._first.blocks(block_frames)
        for number, part in enumerate(self._parts[1:], 2):
            try:
                with part() as found:
                    yield from found.blocks(block_frames)
            except AudioError as error:
                why = f"{self._what} {number} of {len(self._parts)}: {error}"
                raise AudioError(why, error.error) from error

    def count_s(self) -> float:
        """The length in seconds by the parts' headers."""
        return self.info.duration_s

    def bits_a_second(self, seconds: float) -> float:
        """As FFmpeg's, of the first part."""
        return 0.0 if isinstance(self._first, Libsndfile) else self._first.bits_a_second(seconds)

    def seek(self, start_s: float) -> bool:
        """Always False."""
        return False


Source = Libsndfile | FFmpeg | Chain
Part = Callable[[], contextlib.AbstractContextManager[Source]]


@contextlib.contextmanager
def opened(uri: str, stream: int = 0, *, whole: bool = True) -> Iterator[Source]:
    """A file opened by the library that its format and codec belong to, at an audio stream.

    `whole` false: it will be read in part. Then it is not looked through for further links of an
    Ogg file.
    """
    with contextlib.ExitStack() as held:
        file = held.enter_context(opened_bytes(uri))
        found = _source(file, stream, held, whole)
        check_rate(found.info.sample_rate)
        if found.info.channels > 2:  # every verb is told at once where nobody knows what they are
            mixdown.matrix(found.info.channels, found.channels)
        if stream >= found.streams:
            raise AudioError(f"no audio stream {stream}: the file holds {found.streams}")
        yield found


def counted(source: Source) -> AudioInfo:
    """What a source's headers say, with its length counted where they state none."""
    if source.info.duration_source:
        return source.info
    seconds = source.count_s()
    if not seconds:
        raise AudioError("no samples", "empty")
    return dataclasses.replace(source.info, duration_s=seconds, duration_source=COUNTED)


def _source(file: Bytes, stream: int, held: contextlib.ExitStack, whole: bool) -> Source:
    if not file.seek(0, io.SEEK_END):
        raise AudioError("empty file", "empty")
    places = joined.files_in(file)
    if len(places) == 1:
        return _alone(file, stream, held, whole)
    return Chain("file", [functools.partial(_part, file, place, stream) for place in places], held)


@contextlib.contextmanager
def _part(file: Bytes, place: tuple[int, int], stream: int) -> Iterator[Source]:
    """One of several files in a file."""
    with contextlib.ExitStack() as held:
        yield _alone(Section(file, *place), stream, held, whole=True)


def _alone(file: Bytes, stream: int, held: contextlib.ExitStack, whole: bool) -> Source:
    start = tags.after_tags(file)
    file.seek(start)
    magic = file.read(5)
    _rewind(file)
    if magic == b"OggS\0":
        return _ogg(file, stream, held, whole)
    if magic[:4] == b"fLaC":
        nothing = 0.0 if whole and flac.states_less(file) else None
        _rewind(file)
        return held.enter_context(FFmpeg.open(file, stream, "flac", nothing))
    frames = mpeg.mpeg(file)
    _rewind(file)
    if frames and frames.free_format:
        return held.enter_context(Libsndfile.free_format(file))
    if frames:
        return held.enter_context(FFmpeg.open(file, stream, "mp3", frames.stated_s or 0.0))
    return _by_content(file, stream, held)


def _by_content(file: Bytes, stream: int, held: contextlib.ExitStack) -> Libsndfile | FFmpeg:
    """Of a format that the libraries tell."""
    times_held = chunks.times_held(file)
    _rewind(file)
    pcm, stated_s = Libsndfile.open(file, times_held), None
    if pcm is not None and pcm.info.channels <= 2:
        return held.enter_context(pcm)
    if pcm is not None:  # FFmpeg knows which channel is which, but takes what is there for whole
        with pcm:
            stated_s = pcm.stated_s
    _rewind(file)
    try:
        found = FFmpeg.open(file, stream, stated_s=stated_s, times_held=times_held)
        return held.enter_context(found)
    except AudioError:
        within = flac.first_block(file)
        if within is None:
            raise
    rest = Section(file, within, file.seek(0, io.SEEK_END))
    return held.enter_context(FFmpeg.open(rest, stream, "flac", 0.0))


def _ogg(file: Bytes, stream: int, held: contextlib.ExitStack, whole: bool) -> FFmpeg | Chain:
    links = ogg.links_of(file) if whole else [ogg.Link(0, 0, ended=True)]
    _rewind(file)
    if len(links) == 1:
        (link,) = links
        found = FFmpeg.open(file, stream, "ogg", ended=link.ended, granules=link.granules)
        return held.enter_context(found)
    return Chain("link", [functools.partial(_link, file, link, stream) for link in links], held)


def _link(file: Bytes, link: ogg.Link, stream: int) -> contextlib.AbstractContextManager[FFmpeg]:
    part = Section(file, link.start, link.end)
    return FFmpeg.open(part, stream, "ogg", ended=link.ended, granules=link.granules)


def _rewind(file: Bytes) -> None:
    """To the beginning, also of the descriptor, from which libsndfile reads on."""
    file.seek(0, io.SEEK_END)
    file.seek(0)
    if not isinstance(file, Guarded | Section):
        os.lseek(file.fileno(), 0, os.SEEK_SET)
