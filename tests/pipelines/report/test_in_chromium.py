"""The report in a real Chromium: nothing cut, nothing that keeps people out, rows that sort."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.report import command
from tests.pipelines.pages import chromium
from tests.pipelines.report import folders
from tests.pipelines.report.test_page import HOSTILE, LOG

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with chromium.launched() as found:
        yield found


def opened(browser: sync_api.Browser, path: Path) -> tuple[sync_api.Page, list[str]]:
    """The page, and what it complains of."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda m: troubles.append(m.text) if m.type in ("error", "warning") else 0)
    page.goto(path.as_uri())
    return page, troubles


def hostile_flow(root: Path) -> Path:
    """Runs of every section, whose titles are long, right to left, or markup."""
    music = root / "music"
    mix, other = folders.tone(music / "mix.flac", 440, 660), folders.tone(music / "b.flac", 440)
    titles = [*HOSTILE, "שיר ארוך מאוד " * 20, "🎤" * 80, "zero\u200bwidth\u200d" * 30, "A" * 300]
    pairs = [
        folders.pair(
            title, "kept", 0.3 + i / 100, artist=title, mix=mix, instrumental=other, reason=title
        )
        for i, title in enumerate(titles)
    ]
    match = folders.match_run(root / "candidates", pairs, 60)
    prune = folders.prune_run(
        root / "pairs", match, pairs, [folders.reject(f"/{t}", message=t) for t in titles]
    )
    corpus = folders.corpus_run(root / "corpus", prune, len(pairs), {"train": 30, "valid": 4})
    log = [line | ({"valid_sdr": 3.0} if "valid_loss" in line else {}) for line in LOG]
    folders.train_run(root / "model", corpus, log)
    run = folders.start("evaluate", root / "scores", {}, stems=music)
    rows = [
        {"song": t, "source": "vocals", "usdr_mixture": -1.0, "usdr_estimate": 5.0 + i}
        | {"usdr_oracle": 138.0}
        for i, t in enumerate(titles)
    ]
    pq.write_table(pa.Table.from_pylist(rows), run.path("songs.parquet"))
    folders.finish(run, {"songs": len(rows)})
    other = folders.prune_run(root.parent / "other", match, pairs[::2])
    page = root / "page.html"
    assert command.main([str(root), "--compare", str(other), "--output", str(page)]) == 0
    return page


def test_axe_finds_nothing_serious_and_nothing_is_cut(
    browser: sync_api.Browser, tmp_path: Path
) -> None:
    page, troubles = opened(browser, hostile_flow(tmp_path / "runs"))
    assert chromium.faults(page) == []
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    assert chromium.faults(page) == []
    assert troubles == []
    page.close()


def test_pairs_are_sorted_filtered_and_heard(browser: sync_api.Browser, tmp_path: Path) -> None:
    music = tmp_path / "music"
    mix, other = folders.tone(music / "mix.flac", 440, 660), folders.tone(music / "b.flac", 440)
    pairs = [
        folders.pair(f"Song {i:05}", "kept" if i % 5 else "too_similar", i / 1000)
        for i in range(9_999)
    ]
    pairs.append(folders.pair("Heard", "kept", 0.5, mix=mix, instrumental=other))
    folders.prune_run(tmp_path / "pairs", folders.match_run(tmp_path / "c", pairs, 20_000), pairs)
    path = tmp_path / "page.html"
    assert command.main([str(tmp_path), "--output", str(path)]) == 0
    assert path.stat().st_size < 6_000_000
    page, troubles = opened(browser, path)
    rows = page.locator(".all-pairs tbody tr")
    found = page.locator(".all-pairs .found")
    expect(found).to_have_text("10 of 10,000 shown")
    page.click(".sort >> text=Difference")
    expect(rows.first).to_contain_text("Song 00000")
    page.click(".sort >> text=Difference")
    expect(rows.first).to_contain_text("Song 09998")
    heads = page.locator(".all-pairs th[aria-sort]")
    expect(heads).to_have_count(1)
    expect(heads).to_have_attribute("aria-sort", "descending")
    page.select_option(".decision", "too similar")
    expect(found).to_have_text("10 of 2,000 shown")
    page.click(".more")
    expect(rows).to_have_count(110)
    page.select_option(".decision", "")
    page.fill(".find", "heard")
    expect(rows).to_have_count(1)
    page.locator(".listen button").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".listen button.playing")).to_have_text(["Mixture"])
    page.click(".listen button >> text=Difference")
    expect(page.locator(".listen button.playing")).to_have_text(["Difference"])
    assert troubles == []
    page.close()


def test_without_scripts_there_is_the_beginning(browser: sync_api.Browser, tmp_path: Path) -> None:
    pairs = [folders.pair(f"Song {i}") for i in range(30)]
    folders.prune_run(tmp_path / "pairs", folders.match_run(tmp_path / "c", pairs, 60), pairs)
    path = tmp_path / "page.html"
    assert command.main([str(tmp_path / "pairs"), "--output", str(path)]) == 0
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.locator(".all-pairs tbody tr").count() == 10
    assert not page.locator(".tools").first.is_visible()
    assert len(json.loads(page.locator("#prune-rows").text_content() or "")) == 30
    context.close()
