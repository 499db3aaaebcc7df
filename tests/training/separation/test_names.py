"""Names of files: safe, one each, and never outside the output folder."""

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlode import files
from stemlode.layouts.naming import of_files
from stemlode.runs import BadUsage
from training.separation import names

STEMS = ("vocals", "accompaniment")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{track}/{stem}.wav", r"must end with \.\{ext\}"),
        ("{song}/{stem}.{ext}", r"\{song\} is unknown; there are \{track\}"),
        ("{stem}.{ext}", r"needs \{track\}"),
        ("{track}.{ext}", r"needs \{stem\}"),
        ("/{track}/{stem}.{ext}", "below --output"),
        ("../{track}/{stem}.{ext}", "below --output"),
        ("{track}/../../{stem}.{ext}", "below --output"),
        ("a\\{track}/{stem}.{ext}", "below --output"),
        ("s3://b/{track}/{stem}.{ext}", "below --output"),
        ("{track}\n/{stem}.{ext}", "below --output"),
        ("{track}//{stem}.{ext}", "below --output"),
        ("_parts/{track}{stem}.{ext}", "the run's own"),
        ("run.json/{track}{stem}.{ext}", "the run's own"),
        ("{track}/{{stem}}.{ext}", "stands alone"),
        ("{track:>9}/{stem}.{ext}", "is unknown"),
        ("{track.__class__}/{stem}.{ext}", "is unknown"),
        ("", "must end with"),
    ],
)
def test_a_template_that_cannot_be_is_one_line(template: str, said: str) -> None:
    with pytest.raises(BadUsage, match=said):
        names.check(template, STEMS)


def test_one_stem_alone_needs_no_name() -> None:
    assert names.check("{track}.{ext}", STEMS[:1]) == "{track}.{ext}"


@settings(max_examples=25)
@given(st.lists(st.text(max_size=150), min_size=1, max_size=4))
def test_whatever_inputs_are_called_their_files_lie_below(inputs: list[str]) -> None:
    for template in (names.DEFAULT, "{stem}/{track} ({stem}).{ext}"):
        for paths in names.of_songs(template, of_files(inputs), STEMS, "wav"):
            for path in paths.values():
                assert files.is_below(path) and ".." not in PurePosixPath(path).parts
                assert re.fullmatch(names.pattern(template, ("wav",)), path)


def test_names_that_meet_are_refused() -> None:
    with pytest.raises(BadUsage, match=r"novocals of x and vocals of xno would both be xnovocals"):
        names.of_songs("{track}{stem}.{ext}", ["xno", "x"], ["vocals", "novocals"], "wav")
    with pytest.raises(BadUsage, match="too long"):
        names.of_songs("{track}{track}{track}.{ext}", ["x" * 100], ["vocals"], "wav")
