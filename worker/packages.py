"""Which packages an environment holds, and under which licence by their own metadata.

    python worker/packages.py                  a table of tabs: package, version, licence
    python worker/packages.py LOCK > FILE.md   the same of the packages of a lock, in Markdown

It needs nothing but Python, and runs in the environment that it is asked about.
"""

import importlib.metadata
import re
import sys
from pathlib import Path


def licence(metadata: importlib.metadata.PackageMetadata) -> str:
    """What a package says of its licence, in a line: an expression, else classifiers, else text."""
    if expression := metadata.get("License-Expression"):
        return expression
    prefix = "License :: "
    found = [line for line in metadata.get_all("Classifier") or [] if line.startswith(prefix)]
    names = [line.split(" :: ")[-1] for line in found if line != f"{prefix}OSI Approved"]
    text = (metadata.get("License") or "").strip().splitlines()
    return ", ".join(names) or (text[0][:60] if text else "not stated")


def installed() -> dict[str, tuple[str, str]]:
    """Package → (version, licence), in order."""
    found = {}
    for package in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()
        found[name] = (package.version, licence(package.metadata))
    return dict(sorted(found.items()))


def locked(path: str) -> dict[str, str]:
    """Package → version of a lock."""
    text = Path(path).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


def _short(of: str) -> str:
    return of.replace("General Public License", "GPL")


def main(argv: list[str]) -> int:
    """Print the table; 1 where a package of the lock is not installed as the lock has it."""
    here = installed()
    if not argv:
        for name, (version, of) in here.items():
            print(name, version, of, sep="\t")
        return 0
    wanted = locked(argv[0])
    if missing := [n for n, version in wanted.items() if here.get(n, ("", ""))[0] != version]:
        print(f"not installed as {argv[0]} has it: {', '.join(missing)}", file=sys.stderr)
        return 1
    print(HEAD)
    copyleft = [f"{name} ({here[name][1]})" for name in wanted if "GPL" in _short(here[name][1])]
    print(f"Under the GPL or LGPL by their own word: {', '.join(copyleft) or 'none'}.\n")
    print("| package | version | licence |\n|---|---|---|")
    for name, version in wanted.items():
        print(f"| {name} | {version} | {here[name][1].replace('|', '/')} |")
    return 0


HEAD = """# What travels to workers

The packages of [worker/requirements.txt](../worker/requirements.txt), which the workers' image
holds beside Python and Stemlode itself, with the licence that each states in its metadata
(`make worker-packages` writes this page).
"""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
