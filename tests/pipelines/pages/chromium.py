"""Pages in a real Chromium, and what axe-core finds in them that keeps people out."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",  # a container's root has no other way
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
AXE = Path(__file__).with_name("axe") / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
THEMES = ("light", "dark")
WIDTHS = (1440, 800, 400)
# What depends on the theme is the contrast alone.
_ASKED = ({"type": "tag", "values": RULES}, {"type": "rule", "values": ["color-contrast"]})
_AXE = """async (asked) => {
  const found = await axe.run(document, { runOnly: asked, resultTypes: ["violations"] });
  return found.violations.map((one) => [one.impact, one.id, one.nodes.length,
    one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160) + " " + node.failureSummary)]);
}"""
_CUT = """() => {
  const wide = document.documentElement.clientWidth;
  const scrolls = (e) => {
    for (; e; e = e.parentElement) {
      const how = getComputedStyle(e);
      if (/auto|scroll/.test(how.overflowX)) return true;
      if (how.clipPath !== "none" || how.clip !== "auto") return true; // meant for readers aloud
    }
    return false;
  };
  return [...document.querySelectorAll("body *")].filter((e) => {
    const box = e.getBoundingClientRect();
    if (!box.width || !box.height || e.matches(".skip") || scrolls(e)) return false;
    const card = e.parentElement.closest(".card")?.getBoundingClientRect();
    return box.right > Math.min(wide, card?.right ?? wide) + 1
      || box.left < Math.max(0, card?.left ?? 0) - 1;
  }).slice(0, 5).map((e) => e.outerHTML.slice(0, 120));
}"""


def absent(what: str) -> None:
    """Skip, or fail where everything has to be there."""
    if os.environ.get("STEMLODE_TEST_DATA_REQUIRED"):
        pytest.fail(what)
    pytest.skip(what)


@contextlib.contextmanager
def launched() -> Iterator[Any]:
    """A browser."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        absent("no Chromium (Debian's package is chromium)")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield found
        finally:
            found.close()


def faults(page: Any) -> list[str]:
    """What is wrong with a page as it stands, in both themes and at three widths: what axe-core
    calls serious or worse, and what is cut at the side or sticks out of its card."""
    if not AXE.exists():
        absent("no axe-core: npm ci --prefix tests/pipelines/pages/axe")
    page.evaluate(AXE.read_text(encoding="utf-8"))  # a script tag would break the page's policy
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for theme, asked in zip(THEMES, _ASKED, strict=True):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            where = f"{width} px, {theme}"
            for impact, rule, count, examples in page.evaluate(_AXE, asked):
                if impact in ("serious", "critical"):
                    found.append(f"{where}: {rule} × {count}: " + "; ".join(examples))
        found += [f"{width} px: cut: {what}" for what in page.evaluate(_CUT)]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append(f"{width} px: needs a sideways scroll")
    return found
