"""Where a checkpoint lies that a user names.

    FOLDER, s3://…, gs://…, https://…    a folder, read where it lies
    hf://OWNER/NAME@REVISION             a model of the Hugging Face Hub (`hub`)
    NAME                                 a model of a registry, models.toml (`listed`)
    ADDRESS#sha256=HEX                   what the last two become: it names its content

`pinned` looks a name up; what it gives means the same on every machine and at any time, and goes
into a run's plan and to its workers. `weights` fetches that, if need be, and checks it.
"""

from stemlode import files
from stemlode.addresses import pinned as addresses
from stemlode.addresses.pinned import HUB
from training.published import hub, kept, listed

SAID = "a checkpoint's folder, hf://OWNER/NAME@REVISION, or a name of models.toml (docs/models.md)"


def pinned(name: str) -> str:
    """The address of what a name means now: a folder's own, or one that names its content.

    Raises BadUsage where no model is called so, Failed where nobody can say.
    """
    address, sha256 = addresses.parted(name)
    if sha256:
        return addresses.with_hash(files.absolute(address), sha256)
    if name.startswith(HUB):
        return hub.pinned(name)
    if "://" in name or files.exists(name) or "/" in name.strip("/"):
        return files.absolute(name)
    return listed.pinned(name)


def weights(name: str) -> str | None:
    """The checked file of weights, on this machine, of an address that names its content; None for
    a folder, which holds what it holds."""
    address, sha256 = addresses.parted(found := pinned(name))
    if sha256:
        return kept.weights(address, sha256)
    return hub.weights(found) if found.startswith(HUB) else None
