"""What the site has beside the pages of this folder: the project's other pages, and links to them.

On disk, links go from file to file, so that a page reads well wherever it is looked at. On the
site, a link to a page goes to that page; one to any other file of the project is left as its words.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PROJECT = Path(__file__).resolve().parent.parent
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/RESULTS.md": "results.md",
}
LINK = re.compile(r"(!?)\[([^\[\]]*)\]\((?!\w+:|#)([^()\s#]+)(#[^()\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Pages that lie outside this folder."""
    for path, page in ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(PROJECT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A page with its links as the site needs them."""
    outside = {page: path for path, page in ELSEWHERE.items()}
    own = outside.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return LINK.sub(lambda link: as_the_site_has_it(link, own), markdown)


def as_the_site_has_it(link: re.Match[str], own: str) -> str:
    """A link of a page, given by its path in the project, as the site has it."""
    mark, words, path, anchor = link.groups()
    target = posixpath.normpath(posixpath.join(posixpath.dirname(own), path))
    if target in ELSEWHERE:
        return f"[{words}]({ELSEWHERE[target]}{anchor or ''})"
    if target.startswith("docs/"):
        return f"{mark}[{words}]({target.removeprefix('docs/')}{anchor or ''})"
    return words
