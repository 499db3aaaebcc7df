"""A page that a verb leaves beside what it wrote: our style around some HTML. No templates."""

import html
from pathlib import Path

THEME = Path(__file__).with_name("theme.css")  # of all pages
_DOCUMENT = Path(__file__).with_name("document.css")  # of those made here


def page(title: str, said: str, body: str) -> bytes:
    """A whole HTML page, UTF-8.

    Args:
        title: text, shown on top and in the tab.
        said: text below the title, in one paragraph; may be empty.
        body: HTML, in which the caller has escaped what is not ours.
    """
    style = "".join(path.read_text(encoding="utf-8") for path in (THEME, _DOCUMENT))
    heading, below = html.escape(title), f'<p class="soft">{html.escape(said)}</p>' if said else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{heading} · Stemlode</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f'<header><p class="brand">Stemlode</p>\n<h1><bdi>{heading}</bdi></h1>{below}</header>\n'
        f"<main>\n{body}\n</main>\n</body>\n</html>\n"
    ).encode(errors="backslashreplace")


def figure(label: str, inside: str) -> str:
    """Some HTML with what it shows written below, as text."""
    return f"<figure>{inside}<figcaption>{html.escape(label)}</figcaption></figure>"


def scroller(label: str, inside: str) -> str:
    """Some HTML that may be wider than the screen, which the keyboard scrolls too."""
    name = html.escape(label)
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{name}">{inside}</div>'


def spectrogram(source: str, shown: str, highest_hz: float, seconds: float) -> str:
    """A picture of sound between its axes, from 0 Hz and 0 s on; `source` is its address."""
    hertz = "".join(f"<span>{highest_hz * part:,.0f} Hz</span>" for part in (1, 0.5, 0))
    times = "".join(f"<span>{seconds * part:.3g} s</span>" for part in (0, 0.5, 1))
    return (
        f'<div class="spectrogram"><img src="{source}" alt="{html.escape(shown)}"/>'
        f'<div class="hertz" aria-hidden="true">{hertz}</div>'
        f'<div class="seconds" aria-hidden="true">{times}</div></div>'
    )
