"""What is audio by its name, and what is lossless by its codec."""

EXTENSIONS = (
    "aac aif aiff alac ape caf flac m4a m4b mka mp2 mp3 mp4 mpc oga ogg opus wav webm wma wv"
)


CONTAINERS = "caf m4a mka mp4 oga ogg"  # may hold either


_LOSSLESS_CODECS = ("alac", "ape", "double", "flac", "float", "pcm", "tta", "wavpack")


ENDINGS = (".aac .aif .aiff .alac .ape .caf .flac .m4a .mka .mp2 .mp3 .mp4 .oga .ogg .opus .wav "
           ".webm .wma .wv")  # fmt: skip


LOSSLESS = ("alac", "ape", "double", "flac", "float", "pcm", "tta", "wavpack")  # codecs begin so


LOSSY = ("pcm_alaw", "pcm_mulaw")  # though they do


def is_named_audio(path: str) -> bool:
    """Whether a file's name says that it is audio."""
    return f".{path.rpartition('.')[2].lower()}" in ENDINGS.split()


def is_lossless(kind: str) -> bool:
    """Whether a file of this format (`AudioInfo.format`) holds every sample as it was (section
    VI: "we only used lossless data with *.wav* or *.flac* formats")."""
    codec = kind.rpartition("/")[2].lower()
    return codec.startswith(LOSSLESS) and codec not in LOSSY
