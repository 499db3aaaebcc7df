"""What is audio by its name, and what is lossless by its codec: the same for every verb."""

import posixpath

# What FFmpeg and libsndfile read, in the order in which `scan --extensions` stands in plans.
EXTENSIONS = (
    "aac", "ac3", "aif", "aifc", "aiff", "alac", "amr", "ape", "au", "bwf", "caf", "dff", "dsf",
    "dts", "eac3", "ec3", "flac", "m4a", "m4b", "m4r", "mka", "mp1", "mp2", "mp3", "mp4", "mpa",
    "mpc", "mpga", "oga", "ogg", "oma", "opus", "ra", "rf64", "shn", "snd", "spx", "tak", "tta",
    "voc", "w64", "wav", "weba", "webm", "wma", "wv",
)  # fmt: skip
# What they were at first, in the plans of runs that go on.
FORMER_EXTENSIONS = (
    "aac", "aif", "aiff", "alac", "ape", "caf", "flac", "m4a", "m4b", "mka", "mp2", "mp3", "mp4",
    "mpc", "oga", "ogg", "opus", "wav", "webm", "wma", "wv",
)  # fmt: skip
# Their sound can be read, but who has a folder of music does not mean them.
FILMS = ("3gp", "avi", "flv", "m4v", "mkv", "mov", "mpeg", "mpg", "ts", "vob", "wmv")
# How the codecs' names begin that keep every sample, in libsndfile's words and in FFmpeg's.
_LOSSLESS = (
    "alac", "als", "ape", "double", "dwvw", "flac", "float", "mlp", "pcm", "shorten", "tak",
    "truehd", "tta", "wavpack", "wmalossless",
)  # fmt: skip
_LOSSY = ("pcm_alaw", "pcm_mulaw", "pcm_vidc")  # companded to 8 bit, whatever they are called


def extension(path: str) -> str:
    """The ending of a file's name in lower case, without its dot; empty where there is none."""
    return posixpath.splitext(path)[1].lower().lstrip(".")


def is_named_audio(path: str) -> bool:
    """Whether a file's name says that it is audio."""
    return extension(path) in EXTENSIONS


def without_extension(path: str) -> str:
    """A path without the ending that says that it is audio; any other as it is."""
    return posixpath.splitext(path)[0] if is_named_audio(path) else path


def is_lossless(kind: str) -> bool:
    """Whether a file of this format (`AudioInfo.format`) holds every sample as it was.

    The codec decides and not the file's name: an .m4a may hold ALAC, a .wav µ-law (BSRNN paper,
    section VI: "we only used lossless data with *.wav* or *.flac* formats").
    """
    codec = kind.rpartition("/")[2].lower()
    return codec.startswith(_LOSSLESS) and codec not in _LOSSY
