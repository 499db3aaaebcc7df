"""What a catalogue's addresses may open, and what they may not, however they are written."""

import copy
import ipaddress
import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemlode.addresses.rules import Address, Rules, of_number, refusal

OPEN = Rules()


@pytest.mark.parametrize(
    "uri",
    [
        "/music/a.flac",
        "music/a.flac",
        "/music/a::b.flac",
        "gs://bucket/a.flac",
        "s3://bucket/a b#c.flac",
        "https://example.org/a.flac",
        "http://93.184.216.34/a.flac",
        "http://[2606:2800:220:1:248:1893:25c8:1946]/a.flac",
        "HTTPS://example.org/a::b.flac",
        "no\0path",
    ],
)
def test_what_is_opened_without_further_words(uri: str) -> None:
    assert OPEN.refusal(uri) is None
    assert refusal(uri) is None  # what a user names is not asked about


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("http://127.0.0.1/a", "this machine"),
        ("http://127.1:8080/a", "this machine"),
        ("http://2130706433/a", "this machine"),
        ("http://0x7f000001/a", "this machine"),
        ("http://0177.0.0.1/a", "this machine"),
        ("http://0/a", "this machine"),
        ("http://[::1]/a", "this machine"),
        ("http://[::]/a", "this machine"),
        ("http://[::ffff:127.0.0.1]/a", "this machine"),
        ("http://[::ffff:7f00:1]/a", "this machine"),
        ("http://[::127.0.0.1]/a", "this machine"),
        ("http://[64:ff9b::7f00:1]/a", "this machine"),
        ("http://[2002:7f00:1::]/a", "this machine"),
        ("http://example.org@127.0.0.1/a", "this machine"),
        ("http://user:word@10.0.0.1/a", "no public address"),
        ("https://192.168.1.2/a", "no public address"),
        ("http://100.64.0.1/a", "no public address"),
        ("http://224.0.0.1/a", "no public address"),
        ("http://169.254.169.254/latest/meta-data", "metadata"),
        ("http://[fe80::1%25eth0]/a", "link-local"),
        ("http://[fd00:ec2::254]/latest", "no public address"),
        ("http://168.63.129.16/machine", "a cloud's own service"),
        ("http://[/a", "no address"),
        ("file:///etc/passwd", "file://"),
        ("simplecache::http://example.org/a", "chained"),
        ("zip://a.flac::http://example.org/a.zip", "chained"),
        ("zip://a.flac::/music/a.zip", "chained"),
        ("s3://bucket/a::file:///etc/passwd", "chained"),
        ("memory://a", "memory://"),
        ("ftp://example.org/a", "ftp://"),
        ("reference://", "reference://"),
        ("/proc/self/environ", "/proc"),
        ("//proc/self/environ", "/proc"),
        ("/music/../proc/self/environ", "/proc"),
        ("/dev/stdin", "/dev"),
        ("/sys/kernel/notes", "/sys"),
    ],
)
def test_what_is_refused(uri: str, why: str) -> None:
    found = OPEN.refusal(uri)
    assert found is not None and why in found
    said = refusal(Address(uri, OPEN))
    assert said is not None and said.startswith("refused address: ") and "--allow-uri" in said


def test_local_files_lie_in_the_roots(tmp_path: Path) -> None:
    root, other = tmp_path / "music", tmp_path / "musical"
    for folder in (root / "album", other):
        folder.mkdir(parents=True)
        (folder / "a.flac").touch()
    (root / "linked.flac").symlink_to(other / "a.flac")
    (root / "linked").symlink_to(other)
    (root / "environ").symlink_to("/proc/self/environ")
    rules = Rules((str(root), "gs://bucket/catalogue"))
    assert rules.refusal(f"{root}/album/a.flac") is None
    assert rules.refusal(f"{root}/album/../album/a.flac") is None
    assert rules.refusal(f"{root}/linked.flac") is None  # links are followed
    assert rules.refusal(f"{root}/linked/a.flac") is None
    assert rules.refusal(f"{root}/linked/../musical/a.flac")  # what `..` behind a link leads to
    assert rules.refusal(f"{other}/a.flac")
    assert rules.refusal(f"{root}/../musical/a.flac")
    assert rules.refusal(f"{root}/environ")
    assert rules.refusal("/etc/passwd")
    assert rules.refusal("gs://elsewhere/a.flac") is None
    strict = Rules((str(root),), follow_links=False)
    assert strict.refusal(f"{root}/album/a.flac") is None
    assert "link" in (strict.refusal(f"{root}/linked.flac") or "")
    assert "link" in (strict.refusal(f"{root}/linked/a.flac") or "")
    (tmp_path / "way").symlink_to(root)  # a root may itself be named by a link
    for named, used in (("way", root), ("music", tmp_path / "way")):
        by_link = Rules((str(tmp_path / named),), follow_links=False)
        assert by_link.refusal(f"{used}/album/a.flac") is None
    assert Rules(()).refusal(f"{root}/album/a.flac")  # known, and nothing is local


def test_what_the_user_allows(tmp_path: Path) -> None:
    allowed = ("http://10.0.0.7:8000/music", "file:///data/", str(tmp_path), "/proc/1", "zip://")
    rules = Rules(("/music",), allowed)
    for uri in (
        "http://10.0.0.7:8000/music/a.flac",
        "file:///data/a.flac",
        f"{tmp_path}/a.flac",
        "/proc/1/environ",
        "zip://a::/b.zip",
    ):
        assert rules.refusal(uri) is None, uri
    for uri in (
        "http://10.0.0.7:8000/musical/a.flac",
        "http://10.0.0.7:8000/music/../a.flac",
        "http://10.0.0.7:8000/music/%2e%2e/a.flac",
        "http://10.0.0.7:80/music/a.flac",
        "http://10.0.0.7:8000@10.0.0.8/music/a.flac",
        "file:///database/a.flac",
        "file:///data/../etc/passwd",
        f"{tmp_path}/../a.flac",
        f"{tmp_path}al/a.flac",
        "/proc/12/environ",
    ):
        assert rules.refusal(uri), uri
    assert rules.lets("10.0.0.7", 8000) and not rules.lets("10.0.0.7", 80)
    assert rules.lets("0xa.7", 8000)  # the same number
    assert Rules(allowed=("http://",)).refusal("http://localhost:1/a") is None
    assert Rules(allowed=("http://",)).lets("localhost", 1)


@given(st.ip_addresses())
def test_a_number_that_is_not_public_stays_so_inside_ipv6(
    number: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    found = of_number(number)
    assert (found is None) <= number.is_global
    if isinstance(number, ipaddress.IPv4Address):
        for text in (f"::ffff:{number}", f"64:ff9b::{number}"):
            assert (of_number(ipaddress.ip_address(text)) is None) <= (found is None)
        assert (OPEN.refusal(f"http://{int(number)}/a") is None) == (found is None)


@given(st.text())
def test_any_text_gets_an_answer(text: str) -> None:
    for rules in (OPEN, Rules(("/music",), ("http://a", "/b"), follow_links=False)):
        for uri in (text, f"http://{text}", f"/{text}", f"{text}://a"):
            assert rules.refusal(uri) is None or rules.refusal(uri)


def test_an_address_keeps_its_rules_and_is_a_string() -> None:
    rules = Rules(("/music",), ("http://a/",), follow_links=False)
    address = Address("/elsewhere", rules)
    for found in (pickle.loads(pickle.dumps(address)), copy.deepcopy(address)):
        assert found == "/elsewhere" and refusal(found) == refusal(address) is not None
    assert json.dumps({"uri": address}) == '{"uri": "/elsewhere"}'
    assert Rules.of(json.loads(json.dumps(rules.facts()))) == rules
