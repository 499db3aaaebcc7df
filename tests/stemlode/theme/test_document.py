"""Pages that verbs leave beside what they wrote."""

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from stemlode.theme import document, palette

NO_XML = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")


@given(st.text(NO_XML), st.text(NO_XML))
def test_any_text_stays_text(title: str, said: str) -> None:
    body = document.scroller(title, document.spectrogram("a.png", said, 22_050, 4.0))
    page = document.page(title, said, document.figure(said, body)).decode()
    main = ElementTree.fromstring(page.partition("</head>")[2].removesuffix("</html>\n"))
    assert main.find("header/h1/bdi").text == (title or None)
    assert main.find("main/figure/figcaption").text == (said or None)
    assert main.find("main/figure/div").get("aria-label") == title
    assert "22,050 Hz" in page and "11,025 Hz" in page and "2 s" in page


def test_what_no_encoding_holds_is_shown() -> None:
    assert b"\\udce9" in document.page("caf\udce9", "", "")


def test_shades_grow_lighter() -> None:
    shades = palette.shades(64)
    light = [sum(shades[i : i + 3]) for i in range(0, len(shades), 3)]
    assert len(light) == 64
    assert light == sorted(light)
