"""Small files as people have them, made by code: each with a trait that has fooled a decoder."""

import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tests.stemlode.audio.containers.making import (
    APE,
    BARE,
    ID3V1,
    RATE,
    SECONDS,
    TAILS,
    encoded,
    frames,
    free_format,
    id3v2,
    later,
    mp3_size,
    of_length,
    patched,
    skipping,
    sound,
    with_video,
    written,
)


@dataclass(frozen=True)
class Trait:
    """A file's bytes; its true length, and how it is known; what is said of one that is damaged.

    `parts` are what its length is the sum of, where a decoder of another make reads it only so.
    """

    name: str
    data: bytes
    seconds: float = SECONDS
    source: str = "stated"
    error: str = ""
    parts: tuple[bytes, ...] = ()

    @property
    def ending(self) -> str:
        """That of a file's name: the first word of the trait's."""
        return self.name.split()[0]


@functools.cache
def traits() -> tuple[Trait, ...]:
    """All of them, each with a name of its own."""
    found = (*_mp3(), *_adts(), *_flac(), *_ogg(), *_films(), *_others(), *_joined(), *_damaged())
    assert len({trait.name for trait in found}) == len(found)
    return found


def _mp3() -> Iterator[Trait]:
    music = sound()
    steady = encoded(music, "mp3", "libmp3lame", b="128000", **BARE)
    varied = encoded(music, "mp3", "libmp3lame", quality="4", **BARE)
    averaged = b"".join(frames(steady, mp3_size)[:30] + frames(varied, mp3_size)[30:])
    headed = encoded(music, "mp3", "libmp3lame", quality="4", id3v2_version="0")
    xing = headed.index(b"Xing")
    half = frames(varied, mp3_size)[:40]
    yield Trait("mp3 with a header", headed)
    yield Trait("mp3 by libsndfile", written(music, "MP3"))
    yield Trait("mp3 bare, steady", steady, source="counted")
    yield Trait("mp3 bare, varied", varied, source="counted")
    yield Trait("mp3 bare, average", averaged, source="counted")
    yield Trait(
        "mp3 of no frames by its header", patched(headed, xing + 8, bytes(4)), source="counted"
    )
    yield Trait(
        "mp3 bare, mono at 22 kHz",
        encoded(sound(channels=1, rate=22_050), "mp3", "libmp3lame", 22_050, **BARE),
        source="counted",
    )
    yield Trait("mp3 with a cover", id3v2(100_000) + steady, source="counted")
    padded = next(n for n, part in enumerate(frames(steady, mp3_size)) if part[2] & 2)
    yield Trait(
        "mp3 with a padded first frame",
        b"".join(frames(steady, mp3_size)[padded:]),
        SECONDS,
        "counted",
    )
    for name, tail in TAILS.items():
        yield Trait(f"mp3 bare, then {name}", varied + tail, source="counted")
    yield Trait("mp3 with a header, then ape", headed + APE)
    yield Trait(
        "mp3 with a tag in its middle",
        b"".join(half) + id3v2(20_000) + varied[len(b"".join(half)) :],
        source="counted",
    )
    yield Trait("mp3 twice, bare", steady + varied, 2 * SECONDS, "counted")
    yield Trait("mp3 twice, with headers", headed + headed, 2 * SECONDS, "counted")
    yield Trait("mp3 twice, with tags", (id3v2(3000) + headed + ID3V1) * 2, 2 * SECONDS, "counted")
    other = encoded(sound(rate=48_000), "mp3", "libmp3lame", 48_000, **BARE)
    yield Trait("mp3 twice, of two rates", steady + other, 2 * SECONDS, "counted")
    mono = encoded(sound(channels=1), "mp3", "libmp3lame", **BARE)
    yield Trait("mp3 twice, stereo and mono", steady + mono, 2 * SECONDS, "counted")
    yield Trait("mp3 that begins within a frame", steady[200:], source="counted")
    yield Trait("mp3 behind zeros", bytes(5000) + steady, source="counted")
    yield Trait("mp3 of free format", free_format(), source="counted")
    yield Trait("mp2 bare", encoded(music, "mp2", "mp2"), source="counted")


def _adts() -> Iterator[Trait]:
    quiet = np.concatenate([np.zeros((2, RATE), np.float32), sound()[:, RATE:]], axis=1)
    stream = encoded(quiet, "adts", "aac")
    other = encoded(sound(rate=48_000), "adts", "aac", 48_000)
    mono = encoded(sound(channels=1), "adts", "aac")
    yield Trait("aac with a quiet start", stream, source="counted")
    yield Trait("aac behind a tag", id3v2(3000) + stream, source="counted")
    yield Trait("aac, then ape", stream + APE, source="counted")
    yield Trait("aac, then id3v1", stream + ID3V1, source="counted")
    yield Trait("aac twice, of two rates", stream + other, 2 * SECONDS, "counted")
    yield Trait("aac twice, stereo and mono", stream + mono, 2 * SECONDS, "counted")


def _flac() -> Iterator[Trait]:
    flac = written(sound(), "FLAC")
    unknown = of_length(flac)
    yield Trait("flac", flac)
    yield Trait("flac of 24 bits", written(sound(), "FLAC", "PCM_24"))
    yield Trait("flac behind a tag", id3v2(3000) + flac)
    for name, tail in TAILS.items():
        yield Trait(f"flac, then {name}", flac + tail)
    yield Trait("flac of unknown length", unknown, source="counted")
    yield Trait("flac of unknown length, then ape", unknown + APE, source="counted")
    few = of_length(flac, RATE // 2)
    yield Trait("flac of more than it states", few, source="counted")
    yield Trait("flac of more than it states, then id3v1", few + ID3V1, source="counted")
    block = b"\xff\xf8\xc9"  # of 4096 samples at 44.1 kHz
    second = flac.index(block, flac.index(block) + len(block))
    yield Trait(
        "flac from within its first block",
        flac[second - 500 :],
        SECONDS - 4096 / RATE,
        "counted",
        parts=(flac[second:],),
    )


def _ogg() -> Iterator[Trait]:
    vorbis, opus = written(sound(), "OGG"), written(sound(rate=48_000), "OGG", "OPUS", 48_000)
    vorbis_48 = written(sound(rate=48_000), "OGG", rate=48_000)
    mono, opus_mono = (
        written(sound(channels=1), "OGG"),
        written(sound(channels=1, rate=48_000), "OGG", "OPUS", 48_000),
    )
    yield Trait("ogg", vorbis)
    yield Trait("opus", opus)
    yield Trait("opus of which much is skipped", skipping(opus, 48_000), SECONDS - 1.0)
    yield Trait("ogg, then zeros", vorbis + bytes(1000))
    yield Trait("ogg, then id3v1", vorbis + ID3V1)
    yield Trait("ogg behind a tag", id3v2(300) + vorbis)
    yield Trait("opus, from its second hour", later(opus_mono, 48_000 * 3600), source="counted")
    yield Trait("ogg, from its second hour", later(mono, RATE * 3600))
    parts = (opus, later(opus_mono, 48_000 * 3600))
    joined = b"".join(parts)
    yield Trait("opus, then from its second hour", joined, 2 * SECONDS, "counted", parts=parts)
    chains = {
        "ogg twice the same": (vorbis, vorbis),
        "ogg of two rates": (vorbis, vorbis_48),
        "ogg, stereo and mono": (vorbis, mono),
        "ogg of two codecs": (vorbis, opus),
        "opus twice": (opus, written(sound(rate=48_000, seed=1), "OGG", "OPUS", 48_000)),
        "opus, mono and stereo": (opus_mono, opus),
    }
    for name, parts in chains.items():
        yield Trait(name, b"".join(parts), 2 * SECONDS, parts=parts)


def _films() -> Iterator[Trait]:
    yield Trait("mkv with a longer picture", with_video("matroska", "aac", "mpeg4"))
    yield Trait("webm with a longer picture", with_video("webm", "libopus", "libvpx", 48_000))
    yield Trait("wma with a longer picture", with_video("asf", "wmav2", "wmv2"), source="counted")
    yield Trait("mp4 with a longer picture", with_video("mp4", "aac", "mpeg4"))
    yield Trait("mka", encoded(sound(rate=48_000), "matroska", "libopus", 48_000))
    live = encoded(sound(rate=48_000), "webm", "libopus", 48_000, live="1")
    yield Trait("webm of unknown length", live, source="counted")


def _bits() -> bytes:
    """A loud tone in DSD of 64 × 44.1 kHz, of one bit: 2 s of two channels, byte by byte."""
    dense = np.repeat(0.5 + 0.4 * np.sin(np.arange(RATE * 2) / 20), 64)
    bits = np.random.default_rng(0).random(len(dense), np.float32) < dense
    return np.repeat(np.packbits(bits), 2).tobytes()


def _dsf() -> bytes:
    """DSF, 1.01: blocks of 4096 bytes of each channel in turn, of the lowest bit first."""
    one = np.frombuffer(_bits(), np.uint8)[::2]
    whole = one[: len(one) // 4096 * 4096].reshape(-1, 4096)
    low = np.packbits(np.unpackbits(whole, axis=1), axis=1, bitorder="little")
    body = np.repeat(low, 2, axis=0).tobytes()
    count = 8 * whole.size
    facts = b"fmt " + struct.pack("<QIIIIIIQII", 52, 1, 0, 2, 2, 64 * RATE, 1, count, 4096, 0)
    data = b"data" + struct.pack("<Q", 12 + len(body)) + body
    size = 28 + len(facts) + len(data)
    return b"DSD " + struct.pack("<QQQ", 28, size, 0) + facts + data


def _dsdiff() -> bytes:
    """DSDIFF 1.5."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return name + struct.pack(">Q", len(data)) + data

    facts = chunk(b"FS  ", struct.pack(">I", 64 * RATE))
    facts += chunk(b"CHNL", struct.pack(">H", 2) + b"SLFTSRGT")
    facts += chunk(b"CMPR", b"DSD \x0enot compressed\0")
    inner = chunk(b"FVER", bytes([1, 5, 0, 0])) + chunk(b"PROP", b"SND " + facts)
    return chunk(b"FRM8", b"DSD " + inner + chunk(b"DSD ", _bits()))


def _others() -> Iterator[Trait]:
    wav = written(sound(), "WAV")
    yield Trait("wav", wav)
    yield Trait("wav of unknown length", patched(wav, 40, b"\xff" * 4))
    yield Trait("wav around an mp3", encoded(sound(), "wav", "libmp3lame"), source="counted")
    yield Trait("aiff", written(sound(), "AIFF"))
    for form in ("AU", "CAF", "W64", "RF64"):
        yield Trait(form.lower(), written(sound(), form))
    au = written(sound(), "AU")
    yield Trait("au of unknown length", patched(au, 8, b"\xff" * 4))
    yield Trait("voc", written(sound(), "VOC"))
    yield Trait("dsf", _dsf())
    yield Trait("dff", _dsdiff(), source="counted")
    yield Trait("avi", encoded(sound(), "avi", "ac3"))
    yield Trait("wv", encoded(sound(), "wv", "wavpack"))
    yield Trait("m4a", encoded(sound(), "ipod", "aac"))
    yield Trait("m4a of 5.1", encoded(sound(channels=6), "ipod", "aac"))
    yield Trait(
        "mp4 in fragments", encoded(sound(), "mp4", "aac", movflags="frag_keyframe+empty_moov")
    )
    for channels in (4, 6):
        yield Trait(f"wav of {channels} channels", written(sound(channels=channels), "WAV"))
        yield Trait(f"flac of {channels} channels", written(sound(channels=channels), "FLAC"))
    yield Trait("ac3", encoded(sound(), "ac3", "ac3"), source="counted")


def _joined() -> Iterator[Trait]:
    """As `cat` joins them: what follows is a file of its own, behind the end that is stated."""
    flac, wav = written(sound(), "FLAC"), written(sound(), "WAV")
    deep, mono = written(sound(), "FLAC", "PCM_24"), written(sound(channels=1), "FLAC")
    fragments = encoded(sound(), "mp4", "aac", movflags="frag_keyframe+empty_moov")
    unknown = of_length(flac)
    yield Trait(
        "flac twice, of unknown length",
        unknown + unknown,
        2 * SECONDS,
        "counted",
        parts=(unknown,) * 2,
    )
    for name, parts in {
        "flac twice the same": (flac, flac),
        "flac of two depths, with tags": (flac + ID3V1, id3v2(3000) + deep),
        "flac, stereo and mono": (flac, mono),
        "wav twice": (wav, wav),
        "wav, then zeros, a tag and aiff": (wav + bytes(99) + APE, written(sound(), "AIFF")),
        "au, then caf": (written(sound(), "AU"), written(sound(), "CAF")),
        "caf, then w64": (written(sound(), "CAF"), written(sound(), "W64")),
        "w64, then rf64": (written(sound(), "W64"), written(sound(), "RF64")),
        "rf64, then flac": (written(sound(), "RF64"), flac),
        "wv twice": (encoded(sound(), "wv", "wavpack"),) * 2,
        "tta, then wv": (encoded(sound(), "tta", "tta"), encoded(sound(), "wv", "wavpack")),
        "m4a twice": (encoded(sound(), "ipod", "aac"),) * 2,
        "mp4 in fragments twice": (fragments, fragments),
        "mka, then m4a": (
            encoded(sound(rate=48_000), "matroska", "libopus", 48_000),
            encoded(sound(rate=48_000), "ipod", "aac", 48_000),
        ),
    }.items():  # fmt: skip
        yield Trait(name, b"".join(parts), 2 * SECONDS, parts=parts)


def _damaged() -> Iterator[Trait]:
    """Files that are cut, or of which a stretch is gone."""
    music = sound(4.0)
    cut = "truncated or damaged: .* of 4.0 s decodable"
    for name, data in (
        ("wav", written(music, "WAV")),
        ("wav of 6 channels", written(sound(4.0, 6), "WAV")),
        ("aiff", written(music, "AIFF")),
        ("au", written(music, "AU")),
        ("caf", written(music, "CAF")),
        ("w64", written(music, "W64")),
        ("rf64", written(music, "RF64")),
        ("voc", written(music, "VOC")),
        ("flac", written(music, "FLAC")),
        ("mp3 with a header", encoded(music, "mp3", "libmp3lame", quality="4")),
        ("wv", encoded(music, "wv", "wavpack")),
        ("mka", encoded(sound(4.0, rate=48_000), "matroska", "libopus", 48_000)),
    ):
        yield Trait(f"{name}, cut", data[: len(data) // 2], 4.0, error=cut)
    wav = written(music, "WAV")
    error = "file 2 of 2: truncated or damaged: 2.0 of 4.0 s"
    yield Trait("wav, then one that is cut", wav + wav[: len(wav) // 2], 8.0, error=error)
    for name, data in (
        ("wav around an mp3", encoded(music, "wav", "libmp3lame")),
        ("wav around adpcm", encoded(music, "wav", "adpcm_ms")),
        ("avi", encoded(music, "avi", "ac3")),
    ):
        error = "truncated or damaged: .* of 4.[01] s decodable"
        yield Trait(f"{name}, cut", data[: len(data) // 2], 4.0, error=error)
    for name, data in (("dsf", _dsf()), ("dff", _dsdiff())):
        error = "truncated or damaged: 1.0 of 2.0 s decodable"
        yield Trait(f"{name}, cut", data[: len(data) // 2], 2.0, error=error)
    flac = written(music, "FLAC")
    for name, data in (
        ("flac", flac),
        ("flac of unknown length", of_length(flac)),
        ("ogg", written(music, "OGG")),
        ("mp3 bare", encoded(music, "mp3", "libmp3lame", b="128000", **BARE)),
        ("aac", encoded(music, "adts", "aac")),
    ):
        middle = len(data) // 2
        hole = data[:middle] + bytes(len(data) // 4) + data[middle + len(data) // 4 :]
        yield Trait(f"{name} with a hole", hole, 4.0, error="damaged")
    deeper = written(music, "FLAC", "PCM_24")
    yield Trait(  # FFmpeg gives up there
        "flac of unknown length, then another depth",
        of_length(flac) + deeper[deeper.index(b"\xff\xf8") :],
        8.0,
        error="damaged",
    )
    last = len(flac) - 50
    yield Trait("flac, its last block cut", flac[:last], 4.0, error="damaged")
    yield Trait(
        "flac, one bit wrong",
        patched(flac, 90_000, bytes([flac[90_000] ^ 1])),
        4.0,
        error="damaged",
    )
