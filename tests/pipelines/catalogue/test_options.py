"""What a user types about a catalogue: understood, or refused in one line."""

from pathlib import Path

import pytest

from pipelines.catalogue import options
from pipelines.catalogue.formats.dialect import Dialect
from stemlode.arguments import Parser
from stemlode.runs import BadUsage


def parsed(*argv: str) -> Dialect:
    parser = Parser(prog="stemlode match")
    options.add_arguments(parser)
    return options.catalogue_of("tracks.csv", parser.parse(argv)).dialect


def test_nothing_said_is_the_plain_dialect() -> None:
    assert parsed() == Dialect()


def test_all_that_can_be_said() -> None:
    said = ["--encoding=cp1251", "--header-rows=3", "--list-separator=, ", "--duration-unit=ticks"]
    said += ["--decimal-comma", "--partitions=hive", "--delimiter=tab"]
    said += ["--constant=artist=A", "--constant=album=B"]
    constant = ["artist=A", "album=B"]
    assert parsed(*said) == Dialect("cp1251", "\t", 3, ", ", "ticks", True, constant, "hive")


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--encoding=klingon", "--encoding klingon: no encoding"),
        ("--encoding=rot13", "no encoding"),
        ("--encoding=base64", "no encoding"),
        ("--delimiter=;;", "--delimiter.*';;' separates no values"),
        ('--delimiter="', "separates no values"),
        ("--delimiter=é", "separates no values"),
        ("--delimiter=", "separates no values"),
        ("--header-rows=-1", "--header-rows"),
        ("--header-rows=x", "--header-rows"),
        ("--list-separator=", "--list-separator: is empty"),
        ("--duration-unit=h", "--duration-unit"),
        ("--partitions=dir", "--partitions"),
        ("--constant=artst=x", "did you mean artist"),
    ],
)
def test_what_makes_no_sense(flag: str, said: str) -> None:
    with pytest.raises(BadUsage, match=said) as caught:
        parsed(flag)
    assert "\n" not in str(caught.value)


def test_every_option_is_explained() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "catalogues.md").read_text()
    for name in options.ADDED:
        assert f"--{name.replace('_', '-')}" in page, name
