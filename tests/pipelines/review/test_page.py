"""The review's page in a real Chromium: by mouse, by keys alone, on a narrow screen, by ear."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stemlode import audio
from tests.pipelines.pages import chromium
from tests.pipelines.report import folders
from tests.pipelines.review import folders as folders_module
from tests.pipelines.review.folders import Running, running, verdicts
from tests.pipelines.review.test_server import HOSTILE

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
expect.set_options(timeout=60_000)  # machines that test are busy

pytestmark = pytest.mark.slow

# What the page's audio graph does, for the tests to look at: nobody can listen here.
SPY = """
window.heard = { starts: [], gains: [] };
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (...when) {
  heard.starts.push(when);
  return start.apply(this, when);
};
const connect = GainNode.prototype.connect;
GainNode.prototype.connect = function (...to) {
  heard.gains.push(this.gain);
  return connect.apply(this, to);
};
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with chromium.launched() as found:
        yield found


class Tab:
    """A page of a review, which must not complain of anything, nor ask anybody else."""

    def __init__(self, browser: sync_api.Browser, review: Running, width: int = 1200) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.troubles: list[str] = []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", self._heard)
        self.page.on("dialog", lambda dialog: self.troubles.append(dialog.message))
        self.page.on("request", lambda request: self._asked(request.url, review.url))
        self.page.add_init_script(SPY)
        self.page.set_default_timeout(60_000)
        self.page.goto(review.url)
        expect(self.page.locator("#place")).not_to_be_empty()

    def _heard(self, message: sync_api.ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.troubles.append(message.text)

    def _asked(self, url: str, ours: str) -> None:
        if not url.startswith(ours):
            self.troubles.append(f"asked for {url}")

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def at(self, number: int) -> None:
        """Wait until a pair is on the page."""
        expect(self.page.locator("#place")).to_have_text(re.compile(rf"^Pair {number} of \d+$"))

    def key(self, key: str, code: str) -> None:
        """A key of another keyboard: what it writes, and where it lies."""
        told = {"key": key, "code": code, "bubbles": True}
        self.page.dispatch_event("body", "keydown", told)

    def ready(self) -> None:
        """Wait until there is something to play."""
        expect(self.page.locator("#play")).to_be_enabled(timeout=60_000)

    def fits(self) -> bool:
        """Whether nothing needs a sideways scroll."""
        wide = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return wide <= 0


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return folders_module.with_sound(tmp_path / "pairs", 5)


def test_judging_by_mouse_with_undo_and_reload(browser: sync_api.Browser, pairs: Path) -> None:
    path = pairs.parent / "pairs-review" / "judgements.jsonl"
    with running(pairs) as review:
        tab = Tab(browser, review)
        tab.at(1)
        assert re.fullmatch(r"Song \d", tab.text("#mix-title"))
        for swaying in ("#decided", "#metrics", "#histogram .current", "#histogram .bar.other"):
            expect(tab.page.locator(swaying).first).to_be_hidden()
        expect(tab.page.locator("#blind")).to_be_visible()
        assert "ppm" not in tab.page.content() and "-1.5 dB" not in tab.page.content()
        tab.page.click("button.pair")
        tab.at(2)
        tab.page.click("button.not_a_pair")
        tab.at(3)
        assert [line["verdict"] for line in verdicts(path)] == ["pair", "not_a_pair"]
        tab.page.click("#undo")
        tab.at(2)
        expect(tab.page.locator("#progress")).to_have_text(re.compile("^1 of 5 judged"))
        tab.page.click("button.unsure")
        tab.at(3)
        tab.page.reload()
        tab.at(3)
        expect(tab.page.locator("#progress")).to_have_text("2 of 5 judged: 1 pair, 0 not, 1 unsure")
        tab.page.click("#previous")
        tab.at(2)
        expect(tab.page.locator("#judged")).to_have_text("judged: unsure")
        expect(tab.page.locator("#decided")).to_be_visible()
        expect(tab.page.locator("#metrics")).to_contain_text("difference")
        expect(tab.page.locator("#histogram .current")).to_be_visible()
        assert tab.troubles == []
        tab.page.close()
        review.end()
    with running(pairs) as review:  # another day
        tab = Tab(browser, review)
        tab.at(3)
        expect(tab.page.locator("#histogram .verdict-mark")).to_have_count(2)
        tab.page.close()


def test_everything_by_keyboard_alone(browser: sync_api.Browser, pairs: Path) -> None:
    with running(pairs) as review:
        tab = Tab(browser, review)
        tab.ready()
        for number, key in enumerate("pPnu", 1):
            tab.at(number)
            tab.page.keyboard.press(key)
        tab.at(5)
        tab.key("я", "KeyZ")  # as a Russian keyboard says it
        tab.at(4)
        tab.page.keyboard.press(",")
        tab.at(3)
        tab.page.keyboard.press(".")
        tab.at(4)
        tab.ready()
        # whatever takes the focus shows it, and all that can be clicked can be reached
        reached = set()
        for _ in range(40):
            tab.page.keyboard.press("Tab")
            facts = tab.page.evaluate(
                "() => { const e = document.activeElement, s = getComputedStyle(e);"
                "return [e.id || e.dataset.verdict || e.textContent,"
                " s.outlineStyle, s.outlineWidth] }"
            )
            if facts[0] == "":
                break
            reached.add(str(facts[0]).strip())
            if tab.page.evaluate("document.activeElement !== document.body"):
                assert facts[1] != "none", facts
                assert float(facts[2].removesuffix("px")) >= 1, facts
        wanted = {"play", "position", "pair", "unsure", "not_a_pair", "previous", "undo", "next"}
        assert wanted | {"target", "low", "high", "use"} <= reached | {"low", "high"}
        # a focused button is pressed by the keys that press buttons
        tab.page.locator("button.pair").focus()
        tab.page.keyboard.press("Enter")
        tab.at(5)
        # radio buttons move by arrows, and letters typed into a number judge nothing
        tab.page.locator("#criterion-widest").focus()
        tab.page.keyboard.press("ArrowDown")
        expect(tab.page.locator("#criterion-target")).to_be_checked()
        tab.page.locator("#target").focus()
        tab.page.keyboard.press("n")
        tab.at(5)
        tab.page.locator("#use").focus()
        tab.page.keyboard.press("Enter")
        expect(tab.page.locator("#used")).to_be_visible()
        assert tab.troubles == []
        tab.page.close()
    assert (pairs.parent / "pairs-review" / "thresholds.json").exists()


def test_the_three_sounds_run_on_one_clock_and_switch_where_they_are(
    browser: sync_api.Browser, pairs: Path
) -> None:
    with running(pairs) as review:
        tab = Tab(browser, review)
        tab.ready()
        tab.page.keyboard.press(" ")
        expect(tab.page.locator("#play")).to_have_attribute("aria-label", "Pause")
        expect(tab.page.locator("#time")).to_have_text(re.compile("^0:0[1-9]"), timeout=60_000)
        starts = tab.page.evaluate("heard.starts")
        assert len(starts) == 3
        assert starts[0] == starts[1] == starts[2]  # the same moment, the same position
        gains = "heard.gains.slice(-3).map((gain) => Math.round(gain.value * 100) / 100)"
        assert tab.page.evaluate(gains) == [1, 0, 0]
        for key, heard in (("3", [0, 0, 1]), ("2", [0, 1, 0]), ("1", [1, 0, 0])):
            before = float(tab.page.input_value("#position"))
            tab.page.keyboard.press(key)
            for _ in range(400):
                if tab.page.evaluate(gains) == heard:
                    break
                tab.page.wait_for_timeout(150)
            assert tab.page.evaluate(gains) == heard
            assert float(tab.page.input_value("#position")) >= before
            pressed = tab.page.locator("#lanes [aria-pressed=true] kbd")
            expect(pressed).to_have_text(key)
        assert len(tab.page.evaluate("heard.starts")) == 3  # nothing was started anew
        tab.page.keyboard.press(" ")
        expect(tab.page.locator("#play")).to_have_attribute("aria-label", "Play")
        stood = tab.page.input_value("#position")
        tab.page.wait_for_timeout(200)
        assert tab.page.input_value("#position") == stood
        # a click on a picture listens there, although another place was heard
        tab.page.keyboard.press("ArrowLeft")
        expect(tab.page.locator("#position")).to_have_value("0")
        box = tab.page.locator("[data-sound=difference] .picture").bounding_box()
        assert box is not None
        tab.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
        expect(tab.page.locator("#position")).to_have_value(re.compile(r"^(1\.9|2|2\.1)$"))
        expect(tab.page.locator("#lanes [aria-pressed=true] kbd")).to_have_text("3")
        # the space bar plays although the mouse has just pressed something else
        tab.page.click("button.pair")
        tab.at(2)
        tab.ready()
        tab.page.keyboard.press(" ")
        expect(tab.page.locator("#play")).to_have_attribute("aria-label", "Pause")
        tab.at(2)
        assert tab.troubles == []
        tab.page.close()


def test_thresholds_follow_the_judgements_and_are_written(
    browser: sync_api.Browser, pairs: Path
) -> None:
    path = pairs.parent / "pairs-review" / "thresholds.json"
    with running(pairs) as review:
        tab = Tab(browser, review)
        expect(tab.page.locator("#use")).to_be_disabled()
        for number in range(1, 6):
            tab.at(number)
            song = int(tab.text("#mix-title").removeprefix("Song "))
            tab.page.keyboard.press("p" if 1 <= song <= 3 else "n")
        expect(tab.page.locator("#rate")).to_contain_text("Of 5 sure verdicts 60 % say pair")
        widest = tab.page.locator("[data-criterion=widest]")
        expect(widest.locator(".window")).to_have_text("0.0201 … 0.42")
        expect(widest).to_contain_text("precision100 % 44 – 100")
        tab.page.fill("#target", "60")
        target = tab.page.locator("[data-criterion=target]")
        expect(target.locator(".window")).to_have_text("0.0201 … 0.42")
        tab.page.fill("#low", "0.1")
        tab.page.fill("#high", "0.5")
        hand = tab.page.locator("[data-criterion=hand]")
        expect(hand).to_contain_text("precision75 % 30 – 95")
        expect(hand).to_contain_text("keeps4")
        tab.page.fill("#high", "0.05")  # below the lower one
        expect(tab.page.locator("#use")).to_be_disabled()
        tab.page.fill("#high", "0.5")
        expect(tab.page.locator("#use")).to_be_enabled()
        tab.page.check("#criterion-widest")
        expect(tab.page.locator("#histogram .band")).to_have_count(1)
        tab.page.click("#use")
        expect(tab.page.locator("#used-path")).to_have_text(str(path))
        expect(tab.page.locator("#used-command")).to_contain_text(f"--thresholds {path}")
        found = json.loads(path.read_text())
        assert (found["difference_min"], found["difference_max"]) == (0.0201, 0.42)
        assert tab.troubles == []
        tab.page.close()


def test_hostile_titles_are_text_and_unreadable_audio_is_said(
    browser: sync_api.Browser, tmp_path: Path
) -> None:
    rows = []
    for text in HOSTILE:
        row = folders.pair(text, artist=text, mix=text, instrumental=f"/{text}", reason=text)
        rows.append(row | {"pair_id": text})
    with running(folders_module.scored(tmp_path / "pairs", rows)) as review:
        tab = Tab(browser, review)
        shown = set()
        for number in range(1, len(HOSTILE) + 1):
            tab.at(number)
            trouble = tab.page.locator("[data-sound=mixture] .trouble")
            expect(trouble).to_contain_text("The mixture cannot be played: ")
            expect(tab.page.locator("#play")).to_be_disabled()
            shown.add(tab.text("#mix-title"))
            tab.page.keyboard.press("n")
        expect(tab.page.locator("#progress")).to_have_text(re.compile("^all 6 judged"))
        assert {"<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'} <= shown
        assert "{{ 7 * 7 }}{% raw %}" in shown
        assert tab.page.locator("main script, main img[src=x]").count() == 0
        assert tab.troubles == []
        assert tab.fits()
        tab.page.close()


def test_a_narrow_dark_screen_shows_it_all(browser: sync_api.Browser, tmp_path: Path) -> None:
    pairs = folders_module.with_sound(tmp_path / "pairs", 3, "A very long title " * 9 + "{}")
    with running(pairs) as review:
        tab = Tab(browser, review, width=400)
        tab.page.emulate_media(color_scheme="dark")
        tab.ready()
        tab.page.keyboard.press("p")
        tab.at(2)
        tab.page.click("#use")
        expect(tab.page.locator("#used")).to_be_visible()
        assert tab.fits()
        hidden = tab.page.evaluate(
            "[...document.querySelectorAll('button, input')].filter((e) => {"
            "const b = e.getBoundingClientRect();"
            "return b.width && (b.left < 0 || b.right > 400) })"
            ".map((e) => e.id)"
        )
        assert hidden == []
        paper = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert max(int(part) for part in re.findall(r"\d+", paper)[:3]) < 60
        tab.page.close()


def test_one_pair_is_a_sample_too(browser: sync_api.Browser, tmp_path: Path) -> None:
    with running(folders_module.with_sound(tmp_path / "pairs", 1)) as review:
        tab = Tab(browser, review)
        tab.ready()
        for key in (".", ","):
            tab.page.keyboard.press(key)
            expect(tab.page.locator("body")).to_have_attribute("aria-busy", "false")
        tab.page.keyboard.press("p")
        expect(tab.page.locator("#progress")).to_have_text("all 1 judged: 1 pair, 0 not, 0 unsure")
        tab.at(1)
        assert tab.troubles == []
        tab.page.close()


def test_a_review_begun_anew_is_told_apart_from_one_that_refuses(
    browser: sync_api.Browser, pairs: Path
) -> None:
    with running(pairs) as review:
        tab = Tab(browser, review)
        tab.page.keyboard.press("p")
        tab.at(2)
        review.end()
        with running(pairs, "--port", str(review.port)):  # the same port, another token
            tab.page.keyboard.press("n")
            expect(tab.page.locator("#alarm")).to_contain_text("open its new address")
            tab.at(2)
        tab.page.close()
    assert len(verdicts(pairs.parent / "pairs-review" / "judgements.jsonl")) == 1


def test_two_tabs_and_an_ended_review_are_told(browser: sync_api.Browser, pairs: Path) -> None:
    with running(pairs) as review:
        one, two = Tab(browser, review), Tab(browser, review)
        one.page.keyboard.press("p")
        one.at(2)
        one.page.keyboard.press("n")
        one.at(3)
        two.page.keyboard.press("z")  # two has seen no judgement yet, so there is nothing to undo
        two.page.evaluate("window.dispatchEvent(new Event('focus'))")
        expect(two.page.locator("#progress")).to_have_text(re.compile("^2 of 5 judged"))
        one.page.keyboard.press("u")
        one.at(4)
        two.page.keyboard.press("z")  # of what it saw, which is not the last any more
        expect(two.page.locator("#alarm")).to_have_text("somebody else has judged meanwhile")
        expect(two.page.locator("#progress")).to_have_text(re.compile("^3 of 5 judged"))
        review.end()
        one.page.keyboard.press("p")
        expect(one.page.locator("#alarm")).to_contain_text("not running any more")
        one.at(4)
        one.page.close()
        two.page.close()
    assert len(verdicts(pairs.parent / "pairs-review" / "judgements.jsonl")) == 3


def test_a_long_song_is_heard_a_minute_at_a_time(browser: sync_api.Browser, tmp_path: Path) -> None:
    song = np.tile(folders_module.chord(1, 10.0)[:1, ::4], 15)
    path = str(tmp_path / "long.wav")
    audio.write(path, song, folders_module.RATE // 4)
    row = folders.pair("Long", difference=0.3, mix=path, instrumental=path)
    with running(folders_module.scored(tmp_path / "pairs", [row])) as review:
        tab = Tab(browser, review)
        tab.ready()
        expect(tab.page.locator("#span")).to_have_text("0:50 – 1:50 of 2:30")
        tab.page.keyboard.press("Alt+[")  # Option and 5 of a German Mac
        expect(tab.page.locator("#span")).to_have_text("0:00 – 1:00 of 2:30")
        expect(tab.page.locator("#earlier")).to_be_disabled()
        tab.ready()
        # played to its end, it goes on with the next minute
        tab.page.locator("#position").fill("59.9")
        tab.page.keyboard.press(" ")
        expect(tab.page.locator("#span")).to_have_text("1:00 – 2:00 of 2:30", timeout=60_000)
        expect(tab.page.locator("#play")).to_have_attribute("aria-label", "Pause")
        tab.page.click("#later")
        expect(tab.page.locator("#span")).to_have_text("1:30 – 2:30 of 2:30", timeout=60_000)
        expect(tab.page.locator("#later")).to_be_disabled()
        assert tab.troubles == []
        tab.page.close()


def test_quick_skipping_leaves_no_sound_in_the_way(
    browser: sync_api.Browser, tmp_path: Path
) -> None:
    row = folders.pair("Long", difference=0.3)
    rows = []
    for i in range(8):
        path = str(tmp_path / f"{i}.wav")
        audio.write(path, folders_module.chord(i, 30.0), folders_module.RATE)
        names = {"mix_audio_uri": path, "instrumental_audio_uri": path, "pair_id": f"pair {i}"}
        rows.append(row | names)
    open_now, most = set(), 0

    def answered(request: sync_api.Request) -> None:
        open_now.discard(request)

    def asked(request: sync_api.Request) -> None:
        nonlocal most
        if re.search(r"/pairs/\d+/\d+", request.url):
            open_now.add(request)
            most = max(most, len({r.url.rsplit("/", 1)[0] for r in open_now}))

    with running(folders_module.scored(tmp_path / "pairs", rows)) as review:
        tab = Tab(browser, review)
        tab.page.on("request", asked)
        tab.page.on("requestfinished", answered)
        tab.page.on("requestfailed", answered)
        for number in range(2, 9):
            tab.page.keyboard.press(".")
            tab.at(number)
            tab.page.wait_for_timeout(50)
        tab.page.keyboard.press("p")
        expect(tab.page.locator("#progress")).to_have_text(re.compile("^1 of 8 judged"))
        tab.ready()
        assert tab.troubles == []
        assert most <= 2
        tab.page.close()


def test_axe_finds_nothing_serious_before_and_after_judging(
    browser: sync_api.Browser, tmp_path: Path
) -> None:
    rows = [folders.pair(text, artist=text, reason=text) for text in (*HOSTILE, "long " * 60)]
    with running(folders_module.scored(tmp_path / "silent", rows)) as review:
        tab = Tab(browser, review)
        assert chromium.faults(tab.page) == []
        tab.page.close()
    with running(folders_module.with_sound(tmp_path / "pairs", 3)) as review:
        tab = Tab(browser, review)
        tab.ready()
        for number in (1, 2, 3):
            tab.at(number)
            tab.page.keyboard.press("p")
        expect(tab.page.locator("#metrics")).to_be_visible()  # of the last one, which stays
        tab.page.click("#use")
        expect(tab.page.locator("#used")).to_be_visible()
        assert chromium.faults(tab.page) == []
        tab.page.close()
