"""The report: one page that stands alone, says what the tables say, and survives hostile input."""

import base64
import hashlib
import itertools
import json
import math
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.pages import inputs
from pipelines.report import command
from pipelines.report import page as report_page
from stemlode import cli, files, schemas
from stemlode.runs import BadUsage, Failed
from tests.pipelines.report import folders

VOID = {"meta", "img", "br", "link", "input", "hr"}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "</title></svg></style></script><b>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; &amp; ]]> <!-- -->",
    "line one\nline two\r\x00\x1b[31m",
    "\u202egnp.exe\u2066\u200f",
    "x" * 5000,
]


class Page(HTMLParser):
    """A parsed page: its tags in order, their attributes, texts by tag, rows of its tables."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert len({name for name, _ in attrs}) == len(attrs), f"attribute twice in {tag}"
        self.attributes.append((tag, {name: value or "" for name, value in attrs}))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag not in VOID:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.texts[tag][-1] += data
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data

    def values(self, name: str) -> list[str]:
        """Every value of an attribute."""
        return [attributes[name] for _, attributes in self.attributes if name in attributes]


def _show(*runs: Path, tmp_path: Path) -> str:
    page = tmp_path / "page.html"
    assert command.main([*map(str, runs), "--output", str(page)]) == 0
    return page.read_text(encoding="utf-8")


def _pairs(tmp_path: Path) -> list[dict]:
    """Eleven scored pairs, two of them with audio."""
    music = tmp_path / "music"
    music.mkdir()
    mix = folders.tone(music / "mix.flac", 440, 660)
    instrumental = folders.tone(music / "instrumental.flac", 440)
    audible = {"mix": mix, "instrumental": instrumental}
    return [
        folders.pair("Heard", "kept", 0.5, **audible),
        folders.pair("Twice", "too_similar", 0.01, mix=mix, instrumental=mix),
        *(folders.pair(f"Kept {i}", "kept", 0.1 * i + 0.05) for i in range(1, 6)),
        folders.pair("Other", "too_different", 0.97),
        folders.pair("Far out", "too_different", 12.5),
        folders.pair("Wrong way", "swapped", 0.6),
        folders.pair("Gone", "unreadable", None),
    ]


LOG = [
    {"step": 10 * i, "epoch": 0, "loss": 900 / i, "seconds": i / 2}
    | ({"valid_loss": 400 + abs(i - 30)} if i % 5 == 0 else {})
    for i in range(1, 41)
]


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a run of every verb."""
    root = tmp_path_factory.mktemp("flow")
    pairs = _pairs(root)
    match = folders.match_run(root / "candidates", pairs, tracks=120)
    prune = folders.prune_run(root / "pairs", match, pairs, [folders.reject("track Gone")])
    corpus = folders.corpus_run(root / "corpus", prune, 6, {"train": 30, "valid": 4, "test": 2})
    folders.train_run(root / "model", corpus, LOG)
    run = folders.start("evaluate", root / "scores", {}, stems=root / "music")
    rows = [
        {
            "song": "one",
            "source": "vocals",
            "usdr_mixture": -1.25,
            "usdr_estimate": 4.5,
            "usdr_oracle": 11.0,
        },
        {
            "song": "two",
            "source": "vocals",
            "usdr_mixture": 0.75,
            "usdr_estimate": 3.5,
            "usdr_oracle": math.nan,
        },
    ]
    for number, row in enumerate(rows):  # at two rates: what one of them has not is not drawn
        held = 30 - 5 * number
        levels = {"reference": [-20.0 - n for n in range(held)], "estimate": [-30.0] * held}
        row |= {f"spectrum_{role}": found + [None] * (30 - held) for role, found in levels.items()}
    pq.write_table(pa.Table.from_pylist(rows), run.path("songs.parquet"))
    folders.finish(run, {"songs": 2, "rejects": 1}, rejects={"three": "no samples"})
    run = folders.start("separate", root / "separated", {}, music=root / "music")
    (root / "separated" / "song").mkdir()
    for name, frequency in (("vocals", 660), ("accompaniment", 440)):
        folders.tone(root / "separated" / "song" / f"{name}.flac", frequency)
    mixture = str(root / "music" / "mix.flac")
    folders.finish(run, {"songs": 1}, songs={"song": mixture}, rejects={})
    return root


@pytest.fixture(scope="module")
def html(flow: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of every run."""
    return _show(flow, tmp_path=tmp_path_factory.mktemp("page"))


def test_the_page_is_well_formed_and_can_be_navigated(html: str) -> None:
    page = Page(html)
    assert page.tags.count("h1") == 1 and page.tags.count("main") == 1
    levels = [int(tag[1]) for tag in page.tags if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    links = [value for value in page.values("href") if value != "#"]
    assert links and {link.removeprefix("#") for link in links} <= set(ids)
    assert set(page.values("aria-labelledby")) <= set(ids)
    for tag, attributes in page.attributes:
        if tag == "img":
            assert attributes["alt"].startswith("Spectrogram of the ")
        if tag == "audio":
            assert attributes["aria-label"] and "controls" in attributes
        if tag == "svg":
            assert "aria-label" in attributes or attributes.get("aria-hidden") == "true"


def test_every_verb_has_its_section(html: str) -> None:
    sections = {attributes.get("id") for tag, attributes in Page(html).attributes}
    wanted = {"flow", "prune", "pairs", "rejects", "corpus", "train", "evaluate", "separated"}
    assert wanted | {"provenance"} <= sections


def test_the_page_needs_nothing_but_itself(html: str) -> None:
    page = Page(html)
    for tag, attributes in page.attributes:
        for name in ("src", "href", "srcset", "poster", "action", "data", "xlink:href"):
            value = attributes.get(name, "#")
            assert value.startswith(("data:image/png;", "data:audio/mpeg;", "#")), (tag, name)
        assert tag != "script" or attributes.get("type", "application/json") == "application/json"
        assert not any(name.startswith("on") for name in attributes)
        assert "style" not in attributes
    assert "link" not in page.tags and "iframe" not in page.tags
    assert "url(" not in page.texts["style"][0] and "@import" not in page.texts["style"][0]


def test_the_policy_allows_our_style_and_script_and_nothing_else(html: str) -> None:
    page = Page(html)
    policy = next(
        a["content"] for t, a in page.attributes if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none';")
    for tag in ("style", "script"):
        *_, content = page.texts[tag]  # rows of pairs are before the script, and no script
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy and "http" not in policy


def test_the_numbers_are_those_of_the_tables(html: str) -> None:
    rows = [[cell.strip() for cell in row] for row in Page(html).rows]
    assert ["tracks", "in a pair", "22", "18.3 %", ""] in rows
    assert ["no partner", "98", "81.7 %", ""] in rows
    assert ["candidate pairs", "proposed by title", "11", "100.0 %", ""] in rows
    assert ["decisions by sound", "kept", "6", "54.5 %", ""] in rows
    assert ["too different", "2", "18.2 %", ""] in rows
    assert ["candidates", "tracks", "120", "0", "98", "22"] in rows
    assert ["pairs", "pairs", "11", "1", "4", "6"] in rows
    assert ["scores", "songs", "3", "1", "0", "2"] in rows
    assert ["samples", "train", "30", "83.3 %", ""] in rows
    assert ["valid", "4", "11.1 %", ""] in rows
    assert ["CC BY 4.0", "23", "0.08", "63.9 %", ""] in rows
    assert ["not stated", "13", "0.04", "36.1 %", ""] in rows
    assert ["one", "−1.25", "4.50", "11.00", "+5.75"] in rows
    assert ["two", "0.75", "3.50", "–", "+2.75"] in rows
    assert ["Mean of 2", "−0.25", "4.00", "11.00", "+4.25"] in rows
    assert ["prune", "unreadable", "1", "track Gone no such file"] in rows
    assert ["evaluate", "unusable", "1", "three no samples"] in rows
    assert "Does not add up" not in html


def test_the_headline_says_what_came_out(html: str) -> None:
    page = Page(html)
    assert page.texts["h1"] == ["120 tracks hold 6 verified pairs"]
    steps = [" ".join(text.split()) for text in page.texts["li"][:6]]
    assert steps == [
        "120 tracks read",
        "11 candidate pairs",
        "6 kept by their sound",
        "7.2 minutes of samples",
        "−0.2 dB uSDR of the vocals, mixture as it is",
        "4.0 dB separated",
    ]


def test_the_histogram_counts_every_pair_once(html: str) -> None:
    titles = [t for t in Page(html).texts["title"] if re.match(r"[\w ]+, [\d.]+ (to|and)", t)]
    counted: dict[str, int] = {}
    for title in titles:
        kind, number = title.split(",", 1)[0], title.rsplit(": ", 1)[1]
        counted[kind] = counted.get(kind, 0) + int(number)
    assert counted == {"kept": 6, "too similar": 1, "too different": 2, "swapped": 1}
    assert "10 pairs with a difference, 1 without one; the last bar gathers 1 above" in html
    assert "min 0.08</text>" in html and "max 0.75</text>" in html


def test_the_closest_calls_come_first(html: str) -> None:
    tables = html.split("nearest to a threshold")[1].split("nearest to being kept")
    worst, best = (
        Page(f"<table><tbody>{t.split('<tbody>')[1].split('</table>')[0]}</table>") for t in tables
    )
    order = [row[0].removesuffix("(Instrumental)") for row in worst.rows]
    assert order[0].startswith("Kept 1") and order[1].startswith("Kept 2")
    assert best.rows[0][0].startswith("Wrong way")
    assert best.rows[-1][0].startswith("Far out")


def test_kept_and_dropped_pairs_can_be_seen_and_heard(html: str) -> None:
    section = html.split('id="pairs"')[1].partition("</section>")[0]
    page = Page(f"<section>{section.split('>', 1)[1]}</section>")
    heads = [" ".join(text.split()) for text in page.texts["h3"]]
    assert heads == ["Heard · The Examples", "Twice · The Examples"]
    assert page.texts["figcaption"] == ["Mixture", "Instrumental", "Difference"] * 2
    assert page.tags.count("img") == page.tags.count("audio") == 6


def test_the_training_curves_mark_the_best_step(html: str) -> None:
    assert "The circle marks the best step, 300." in html
    assert "unet-vocals-small: 400 steps, 90 s on cpu." in html
    section = html.split('id="train"')[1].partition("</section>")[0]
    assert section.count("<polyline") == 2 and section.count('class="best"') == 1


def test_average_spectra_stand_over_hertz(html: str) -> None:
    (drawn,) = re.findall(r"<h3>Vocals, average spectrum</h3>(.*?)</figure>", html, re.DOTALL)
    lines = re.findall(r'<polyline class="line stroke (\w+)" points="([^"]+)"', drawn)
    assert [kind for kind, _ in lines] == ["reference", "estimate"]
    assert all(len(points.split()) == 25 for _, points in lines)
    assert {"100", "1k", "5k"} <= {*re.findall(r">([\dk]+)</text>", drawn)}
    assert (
        "10k" not in drawn
        and ">dB re full scale<" in drawn
        and ">Hz<" in drawn
        and "step" not in drawn
    )


def test_previews_draw_the_mask(flow: Path, tmp_path: Path) -> None:
    """Magnitude and phase beside what can be heard, on the grid of the net's own STFT."""
    run = folders.start("train", tmp_path / "model", {"recipe": "net"})
    place = tmp_path / "model/previews/best/1"
    place.mkdir(parents=True)
    for name, notes in (("mixture", (440, 660)), ("estimate", (660,)), ("reference", (660,))):
        folders.tone(place / f"{name}.flac", *notes)
    recipe = {"name": "net", "n_fft": 512, "hop_length": 128}
    folders.finish(run, {"steps": 1}, recipe=recipe)
    page = _show(tmp_path / "model", tmp_path=tmp_path)
    clips = re.findall(r"<figcaption>([^<]+)</figcaption>(<div class=.*?)</figure>", page)
    labels = [(name, "<audio" if "<audio" in shown else "") for name, shown in clips]
    assert all("4,096 Hz</span>" in shown and " s</span>" in shown for _, shown in clips)
    assert labels == [
        ("Mixture", "<audio"), ("Estimate", "<audio"), ("Reference", "<audio"),
        ("Mask, magnitude", ""), ("Mask, phase", ""),
    ]  # fmt: skip


def test_separated_audio_can_be_compared(html: str, flow: Path) -> None:
    section = html.split('id="separated"')[1].partition("</section>")[0]
    captions = re.findall("<figcaption>(.*?)</figcaption>", section)
    assert captions == ["Mixture", "Vocals", "Accompaniment"]
    assert section.count("<audio") == 3 and section.count("data-group") == 1
    for name in ("vocals", "accompaniment"):
        assert f"<code>separated/song/{name}.flac</code>" in section


def test_provenance_has_versions_options_and_hashes(html: str, flow: Path) -> None:
    section = html.split('id="provenance"')[1]
    for folder in ("candidates", "pairs", "corpus", "model", "scores", "separated"):
        record = json.loads((flow / folder / "run.json").read_text())
        assert f"<code>{folder}</code>" in section
        for digest in record["outputs"].values():
            assert digest in section
        assert record["versions"]["pyarrow"] in section
    assert "--d-min" in section


def test_the_same_runs_give_the_same_bytes(flow: Path, tmp_path: Path, html: str) -> None:
    assert _show(flow, tmp_path=tmp_path) == html
    singly = sorted((p.parent for p in flow.glob("*/run.json")), reverse=True)
    assert _show(*singly, singly[0], flow, tmp_path=tmp_path) == html


@pytest.mark.parametrize(
    "folder", ["candidates", "pairs", "corpus", "model", "scores", "separated"]
)
def test_a_single_run_has_a_page_of_its_own(flow: Path, tmp_path: Path, folder: str) -> None:
    page = Page(_show(flow / folder, tmp_path=tmp_path))
    assert len(page.texts["h1"]) == 1 and page.tags.count("section") >= 1


def test_counts_that_do_not_add_up_are_marked(flow: Path, tmp_path: Path) -> None:
    shutil.copytree(flow, tmp_path / "flow")
    record = tmp_path / "flow" / "corpus" / "run.json"
    found = json.loads(record.read_text())
    found["counts"]["samples"] += 3
    found["counts"]["pairs"] = 5
    record.write_text(json.dumps(found))
    page = _show(tmp_path / "flow", tmp_path=tmp_path)
    assert "samples counted by corpus = rows of index: 39 and 36." in page
    assert "kept pairs = pairs read by corpus: 6 and 5." in page
    assert page.count("✗ does not add up") == 3  # the recordings do not either


def test_runs_that_did_not_read_one_another_are_not_joined(tmp_path: Path) -> None:
    pairs = [folders.pair("One")]
    match = folders.match_run(tmp_path / "candidates", pairs, 10)
    folders.prune_run(tmp_path / "pairs", match, pairs)
    other = folders.match_run(tmp_path / "others", [*pairs, folders.pair("Two")], 10)
    assert match != other
    page = _show(tmp_path, tmp_path=tmp_path)
    heads = Page(page).texts["h3"]
    assert "candidates → pairs" in heads and "others" in heads
    assert "Does not add up" not in page


def _hostile_flow(root: Path, text: str) -> None:
    pairs = [
        folders.pair(text, "kept", 0.5, artist=text, reason=text, mix=text, instrumental=text),
        folders.pair("Other", text, 0.9, reason=text),
    ]
    match = folders.match_run(root / "candidates", pairs, 10)
    prune = folders.prune_run(
        root / "pairs", match, pairs, [folders.reject(text, error=text, message=text)]
    )
    corpus = folders.corpus_run(root / "corpus", prune, 1, {"train": 3, text: 2})
    log = [{"step": 1, "loss": 2.0, text: text}, {"step": 2, "loss": text}, {"step": 3, "loss": 1}]
    folders.train_run(root / "model", corpus, log)
    run = folders.start("evaluate", root / "scores", {text: text}, stems=root / "candidates")
    rows = [{"song": text, "source": text, "usdr_mixture": 1.0, "usdr_estimate": 2.0}]
    pq.write_table(pa.Table.from_pylist(rows), run.path("songs.parquet"))
    folders.finish(run, {text: 1, "odd": text}, recipe={"name": text, text: text})


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(tmp_path: Path, text: str) -> None:
    tame, wild = tmp_path / "tame" / "t", tmp_path / "wild" / "t"
    _hostile_flow(tame, "text")
    _hostile_flow(wild, text)
    harmless = Page(_show(tame, tmp_path=tmp_path))
    html = _show(wild, tmp_path=tmp_path)
    page = Page(html)
    assert page.tags == harmless.tags
    assert [sorted(a) for _, a in page.attributes] == [sorted(a) for _, a in harmless.attributes]
    for mark in "\x00\r\x1b\u202e\u2066\u200f":
        assert mark not in html
    assert not any(v.strip().lower().startswith("javascript") for v in page.values("href"))
    if len(text) < 60 and "\n" not in text and "\u202e" not in text:
        assert any(text in bdi for bdi in page.texts["bdi"])
    assert "x" * 1000 not in html


@pytest.fixture(scope="module")
def tags(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The tags of a page about a harmless title."""
    return _titled(tmp_path_factory.mktemp("tame"), "title")


def _titled(root: Path, title: str) -> list[str]:
    pairs = [folders.pair(title, "kept", 0.5, artist=title)]
    match = folders.match_run(root / "candidates", pairs, 4)
    folders.prune_run(root / "pairs", match, pairs)
    return Page(_show(root, tmp_path=root)).tags


@settings(max_examples=15, deadline=None)
@given(text=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_any_title_stays_text(
    tmp_path_factory: pytest.TempPathFactory, tags: list[str], text: str
) -> None:
    assert _titled(tmp_path_factory.mktemp("wild"), text) == tags


def test_hostile_records_are_text_or_one_clear_line(tmp_path: Path) -> None:
    _hostile_flow(tmp_path, "text")
    record = tmp_path / "scores" / "run.json"
    found = json.loads(record.read_text())
    found |= {"seconds": "\ud800<i>", "counts": {"songs": math.inf, "x": -(10**400), "y": None}}
    record.write_text(json.dumps(found))
    assert "<i>" not in _show(tmp_path / "scores", tmp_path=tmp_path)
    for broken in ("[]", '{"verb": 1}', '{"verb": "match", "counts": []}', "{", "[" * 100_000):
        record.write_text(broken)
        with pytest.raises(Failed, match=r"scores/run\.json"):
            _show(tmp_path, tmp_path=tmp_path)


@pytest.mark.parametrize("name", ["candidates", "pairs", "corpus"])
def test_a_damaged_table_is_named(flow: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(flow, tmp_path / "flow")
    (path, *_) = sorted((tmp_path / "flow" / name).glob("[cip]*.parquet"))
    whole = path.read_bytes()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for broken in (b"", whole[:-20], bytes(footer) + whole[footer:], None):
        path.write_bytes(broken) if broken is not None else path.unlink()
        with pytest.raises(Failed, match=re.escape(str(path))):
            _show(tmp_path / "flow", tmp_path=tmp_path)


def test_a_table_without_a_column_or_of_another_type_is_named(tmp_path: Path) -> None:
    pairs = [folders.pair("One")]
    match = folders.match_run(tmp_path / "candidates", pairs, 10)
    prune = folders.prune_run(tmp_path / "pairs", match, pairs)
    path = prune / "pairs-00000-of-00001.parquet"
    whole = pa.Table.from_pylist(pairs, schemas.SCORED_PAIR)
    pq.write_table(whole.drop_columns(["difference"]), path)
    with pytest.raises(Failed, match=r"pairs-00000.*no column difference"):
        _show(prune, tmp_path=tmp_path)
    position = whole.column_names.index("difference")
    pq.write_table(whole.set_column(position, "difference", [["a lot"]]), path)
    with pytest.raises(Failed, match=r"pairs-00000.*column difference is string, not double"):
        _show(prune, tmp_path=tmp_path)


def test_torn_lines_of_a_log_are_counted_not_fatal(tmp_path: Path) -> None:
    run = folders.train_run(tmp_path / "model", tmp_path / "corpus", LOG)
    with (run / "log.jsonl").open("ab") as file:
        file.write(b'{"step": 50, "lo\n[1]\n\xff\xfe\n{"step": NaN, "loss": 1}\n')
    page = _show(run, tmp_path=tmp_path)
    assert "3 lines of the log are unreadable and left out." in page


@pytest.mark.parametrize(("drawn", "lost"), [(LOG, 2), ([], 2)])
def test_losses_that_are_no_numbers_are_counted(
    tmp_path: Path, drawn: list[dict[str, object]], lost: int
) -> None:
    log = [*drawn, {"step": 900, "loss": float("nan")}, {"step": 901, "loss": float("inf")}]
    run = folders.train_run(tmp_path / "model", tmp_path / "corpus", log)
    assert f"{lost} losses were no number (NaN) or without end" in _show(run, tmp_path=tmp_path)


def test_parts_that_are_missing_are_left_out(tmp_path: Path) -> None:
    pairs = [folders.pair("One"), folders.pair("Two", "unreadable", None)]
    match = folders.match_run(tmp_path / "candidates", pairs, 10)
    prune = folders.prune_run(tmp_path / "pairs", match, pairs)
    corpus = folders.corpus_run(tmp_path / "corpus", prune, 1, {"train": 1})
    run = folders.start("train", tmp_path / "model", {}, corpus=corpus)
    folders.finish(run, {})
    for verb in ("evaluate", "separate", "scan", "later-verb"):
        folders.finish(folders.start(verb, tmp_path / verb, {}), {"songs": 0})
    page = Page(_show(tmp_path, tmp_path=tmp_path))
    ids = page.values("id")
    assert "train" in ids and "pairs" not in ids and "separated" not in ids
    assert page.texts["h3"].count("later-verb · 0.0 s") == 1


def test_empty_tables_are_no_trouble(tmp_path: Path) -> None:
    match = folders.match_run(tmp_path / "candidates", [], 0)
    prune = folders.prune_run(tmp_path / "pairs", match, [])
    folders.corpus_run(tmp_path / "corpus", prune, 0, {})
    assert "0 tracks hold 0 verified pairs" in _show(tmp_path, tmp_path=tmp_path)


def test_unfinished_runs_are_named_and_left_out(tmp_path: Path) -> None:
    pairs = [folders.pair("One")]
    match = folders.match_run(tmp_path / "candidates", pairs, 10)
    folders.start("prune", tmp_path / "pairs", {}, candidates=match)
    page = _show(tmp_path, tmp_path=tmp_path)
    assert "Not finished, and left out:" in page and "<code>pairs</code>" in page
    with pytest.raises(BadUsage, match="pairs is not finished"):
        command.main([str(tmp_path / "pairs"), "--output", str(tmp_path / "x.html")])


def test_what_is_no_run_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match="no such folder"):
        command.main([str(tmp_path / "none"), "--output", str(tmp_path / "x.html")])
    with pytest.raises(BadUsage, match=r"no run\.json"):
        command.main([str(tmp_path), "--output", str(tmp_path / "x.html")])
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(BadUsage, match="is a file; name the folder"):
        command.main([str(tmp_path / "run.json"), "--output", str(tmp_path / "x.html")])
    assert not (tmp_path / "x.html").exists()


def test_only_a_report_is_overwritten(flow: Path, tmp_path: Path) -> None:
    other = tmp_path / "thesis.html"
    other.write_text("<p>years of work")
    with pytest.raises(BadUsage, match="holds something else"):
        command.main([str(flow / "scores"), "--output", str(other)])
    assert other.read_text() == "<p>years of work"
    for _ in range(2):
        assert command.main([str(flow / "scores"), "--output", str(tmp_path / "new")]) == 0
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["report.html"]


def test_a_page_that_cannot_be_written_leaves_nothing(flow: Path) -> None:
    assert cli.main(["report", str(flow / "scores"), "--output", "/proc/none/x.html"]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--outptu", "x"], "did you mean --output?"),
        (["--output", "x.html"], "needs a run folder"),
        (["somewhere"], "needs --output"),
        (["somewhere", "--output"], "expected one argument"),
    ],
)
def test_bad_usage_is_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", *words]) == 2
    line = capsys.readouterr().err
    assert said in line and line.count("\n") == 1


def test_the_page_stays_small(flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_page, "MEDIA_BYTES", 60_000)
    page = _show(flow, tmp_path=tmp_path)
    assert len(page) < 300_000
    assert "left out to keep it small" in page


def test_it_starts_without_beam_and_torch() -> None:
    code = "import sys, pipelines.report.page; print({'apache_beam', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_run_that_names_files_outside_its_folder_is_not_shown(tmp_path: Path) -> None:
    secret = folders.tone(tmp_path / "secret.wav", 440)
    run = folders.start("separate", tmp_path / "separated", {})
    run.finish({}, {"../secret.wav": files.sha256(secret)})
    with pytest.raises(Failed, match=r"names '\.\./secret\.wav', which is no file of its folder"):
        _show(tmp_path / "separated", tmp_path=tmp_path)


def test_songs_past_the_first_say_why_they_have_no_players(tmp_path: Path) -> None:
    run = folders.start("separate", tmp_path / "separated", {})
    for song in "abcde":
        (tmp_path / "separated" / song).mkdir()
        folders.tone(tmp_path / "separated" / song / "vocals.flac", 440)
    folders.finish(run, {"songs": 5}, songs=dict.fromkeys("abcde", ""), rejects={})
    page = _show(tmp_path / "separated", tmp_path=tmp_path)
    assert page.count("<audio") == report_page.SEPARATED_SONGS == 3
    assert page.count("No players: only the first 3 songs have them.") == 2


def test_runs_are_found_in_the_order_of_the_flow(flow: Path) -> None:
    found, unfinished = inputs.find([str(flow)])
    made = [verb for verb in inputs.ORDER if verb not in ("scan", "salience", "finetune", "pitch")]
    assert [run.verb for run in found] == made
    assert unfinished == []
