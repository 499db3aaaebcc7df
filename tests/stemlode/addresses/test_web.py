"""Whom a client connects to: redirects and names lead nowhere that is not allowed."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stemlode import audio, files
from stemlode.addresses.rules import REFUSED, Address, Rules
from stemlode.audio import AudioError
from stemlode.audio.decoding import Decoder
from tests.web import Web, serving


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    audio.write(str(tmp_path / "a.wav"), [[0.5, -0.5] * 4000], 8000)
    with serving(tmp_path) as found:
        yield found


@pytest.mark.parametrize("fault", [None, "gzip", "unsaid"])
def test_every_way_to_read_a_file_has_one_answer_however_it_is_sent(
    fault: str | None, web: Web
) -> None:
    web.faults = {"a.wav": fault}
    uri, decoder = f"{web.address}/a.wav", Decoder(8000)
    assert audio.probe(uri).duration_s == 1
    assert audio.read(uri).samples.shape[1] == 8000
    try:
        assert len(decoder.decode(uri).samples) == 8000
    finally:
        decoder.close()


def _refused(uri: str, rules: Rules) -> str:
    with pytest.raises(AudioError, match=r"^refused address: .*--allow-uri") as found:
        audio.probe(Address(uri, rules))
    assert found.value.error == REFUSED
    assert files.stamps(Address(uri, rules)) == []
    return str(found.value)


def test_what_a_user_names_is_opened_and_what_a_catalogue_names_is_not(web: Web) -> None:
    uri = f"{web.address}/a.wav"
    assert audio.probe(uri).sample_rate == 8000
    assert audio.probe(Address(uri, Rules(allowed=(web.address,)))).sample_rate == 8000
    web.asked.clear()
    assert "this machine" in _refused(uri, Rules())
    _refused(uri, Rules(allowed=("http://127.0.0.1:1", "/")))
    assert not web.asked


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "evil.test"])
def test_a_name_is_judged_by_its_number(
    host: str, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    _names(monkeypatch, {"evil.test": ["127.0.0.1"]})
    uri = f"http://{host}:{web.port}/a.wav"
    web.asked.clear()
    assert "this machine" in _refused(uri, Rules())
    assert not web.asked
    rules = Rules(allowed=(f"http://{host}:{web.port}/",))
    assert audio.probe(Address(uri, rules)).sample_rate == 8000


def test_a_name_with_several_numbers_and_one_that_changes(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    _names(monkeypatch, {"two.test": ["127.0.0.1", "10.0.0.1", "::1"]})
    _refused(f"http://two.test:{web.port}/a.wav", Rules())
    assert not web.asked


def test_a_redirect_leads_nowhere_else(web: Web, tmp_path: Path) -> None:
    with serving(tmp_path) as inner:
        web.moved = {"a.flac": f"{inner.address}/a.wav", "s": "file:///etc/passwd"}
        rules = Rules(allowed=(web.address,))
        assert "this machine" in _refused(f"{web.address}/a.flac", rules)
        assert not inner.asked
        both = Rules(allowed=(web.address, inner.address))
        assert audio.probe(Address(f"{web.address}/a.flac", both)).sample_rate == 8000
        with pytest.raises((AudioError, OSError)):
            audio.probe(Address(f"{web.address}/s", rules))


def test_the_decoding_process_has_the_same_rules(web: Web, tmp_path: Path) -> None:
    decoder = Decoder(8000)
    try:
        rules = Rules(allowed=(web.address,))
        with serving(tmp_path) as inner:
            web.moved = {"there.wav": f"{inner.address}/a.wav"}
            web.moved_on_get = {"late.wav": f"{inner.address}/a.wav"}
            for name in ("there.wav", "late.wav"):
                with pytest.raises(AudioError, match="refused address") as found:
                    decoder.decode(Address(f"{web.address}/{name}", rules))
                assert found.value.error == REFUSED
            assert not inner.asked
        with pytest.raises(AudioError, match="refused address"):
            decoder.decode(Address("/proc/self/environ", Rules()))
        assert len(decoder.decode(Address(f"{web.address}/a.wav", rules)).samples) == 8000
        assert len(decoder.decode(f"{web.address}/a.wav").samples) == 8000
    finally:
        decoder.close()


def test_a_large_file_of_a_server_without_ranges(web: Web, tmp_path: Path) -> None:
    audio.write(str(tmp_path / "large.wav"), [[0.1] * 4_000_000], 48_000)  # above one block
    decoder = Decoder(8000)
    try:
        decoded = decoder.decode(f"{web.address}/large.wav")
    finally:
        decoder.close()
    assert decoded.duration_s == pytest.approx(4_000_000 / 48_000)


def _names(monkeypatch: pytest.MonkeyPatch, known: dict[str, list[str]]) -> None:
    really = socket.getaddrinfo

    def answer(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        numbers = known.get(name, [name])
        return [entry for number in numbers for entry in really(number, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
