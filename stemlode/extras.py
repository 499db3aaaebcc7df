"""Which extra of ours installs a package that is missing."""

from collections.abc import Sequence

# Packages that only some option or kind of path needs, by what `import` calls them.
OF_AN_OPTION = {
    "gcsfs": "gcs",
    "s3fs": "s3",
    "huggingface_hub": "hub",
    "onnx": "export",
    "onnxruntime": "export",
    "pedalboard": "augment",
    "h5py": "pitch",
    "mir_eval": "pitch",
    "mido": "pitch",
    "swift_f0": "pitch",
    "tensorboard": "tensorboard",
    "opentelemetry": "otel",
}
OURS = ("stemlode", "matching", "sql", "pipelines", "training")


def line(missing: str, extras: Sequence[str], who: str = "") -> str:
    """One line that says what to install where the module `missing` is not.

    `extras` are those that install what was asked for; any one of them will do. `who` needs it.
    """
    package = missing if missing.startswith("google.") else missing.split(".", maxsplit=1)[0]
    if package in OF_AN_OPTION:
        extras = [OF_AN_OPTION[package]]
    install = " or ".join(f"pip install 'stemlode[{extra}]'" for extra in extras)
    return f"{who or 'this'} needs {package}: {install}"
