"""`--config` and `--print-config`: of every verb, there and back, and what is wrong with one."""

import argparse
import importlib
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stemlode import cli, runs, tables
from stemlode.arguments import Parser, count
from stemlode.configuration import calling, options, printed
from stemlode.runs import BadUsage

CATALOGUE = """track_id,artist,title,duration_s
1,Ann,Song,100
2,Ann,Song (Instrumental),100.5
3,Bob,Other,90
4,Bob,Other (Instrumental),93
"""


def parser_of(verb: str, argv: list[str] | None = None) -> Parser:
    return importlib.import_module(cli.VERBS[verb][0]).parser(argv or [])


def a_value(action: argparse.Action) -> Any:
    """Some value that an option takes, as a configuration says it."""
    if options._is_flag(action):
        return True
    if action.choices:
        last = [*action.choices][-1]
        return [last] if options._is_list(action) else last
    texts = "name 1 0.5 2000 a=b 4GiB unet-vocals duckdb:x tab yes whole wav mp3:96 {} -18 2,3,4"
    for text in texts.split():
        try:
            action.type(text) if callable(action.type) else text
        except (ValueError, TypeError, argparse.ArgumentTypeError):
            continue
        if isinstance(action.nargs, int):
            return [text] * int(action.nargs)
        value = options._plainest(action, text)
        return [value, value] if options._is_list(action) else value
    raise AssertionError(f"no value is known for {action}")


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_option_of_every_verb_can_stand_in_a_configuration(verb: str) -> None:
    parser = parser_of(verb, ["unet-vocals"])
    values = {name: a_value(action) for name, action in options.named(parser).items()}
    assert values and not {"config", "help"} & {*values}
    values = tomllib.loads(printed.text(parser, values))  # which says it as it is
    assert options.given(parser, calling.words(parser, values, "here")) == values
    assert not tomllib.loads(printed.text(parser, {}))  # the rest is comments
    assert "--config FILE" in parser.format_help()


KINDS = {
    "text": st.text(st.characters(exclude_categories=["Cs"])),
    "number": st.integers(-(2**70), 2**70),
    "part": st.floats(allow_nan=False),
    "amount": st.integers(0, 2**63 - 1),
    "again": st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1),
    "two": st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).map(
        lambda text: text.replace("-", "_")), min_size=2, max_size=2),
    "set_it": st.just(True),
    "either": st.booleans(),
    "places": st.lists(st.text("abc /.ä✓\n\"'", min_size=1), min_size=1),
}  # fmt: skip


def of_every_kind() -> Parser:
    parser = Parser(prog="stemlode verb")
    add = parser.add_argument
    add("places", nargs="+")
    add("--text", default="50 % of it\n", help="100%% of it")
    add("--number", type=int)
    add("--part", type=float, default=0.5)
    add("--amount", type=count)
    add("--again", "--more", action="append", default=[])
    add("--two", nargs=2)
    add("--set-it", action="store_true")
    add("--either", action=argparse.BooleanOptionalAction, default=True)
    return parser


@given(st.fixed_dictionaries({}, optional=KINDS))
@settings(max_examples=60)
def test_what_is_printed_is_what_was_said(values: dict[str, Any]) -> None:
    parser = of_every_kind()
    said = calling.words(parser, values, "values")
    read = tomllib.loads(printed.text(parser, options.given(parser, said)))
    again = calling.words(parser, read, "printed")
    plain = "places" in values and not any(word.startswith("-") for word in values["places"])
    if plain:  # argparse itself wants them
        assert vars(parser.parse(again)) == vars(parser.parse(said))
    assert options.given(parser, again) == options.given(parser, said) == read


@given(st.dictionaries(st.sampled_from([*KINDS, "unknown"]), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=3)))  # fmt: skip
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_any_value_is_taken_or_refused_by_name(values: dict[str, Any]) -> None:
    parser = of_every_kind()
    try:
        said = calling.words(parser, values, "a.toml")
    except BadUsage as error:
        assert any(f"a.toml: {key}: " in str(error) or f"unknown key {key}" in str(error)
                   for key in values)  # fmt: skip
    else:
        assert all(isinstance(word, str) for word in said)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tolerence = 2", "unknown key tolerence; did you mean tolerance?"),
        ("runnr = 'x'", "unknown key runnr; did you mean runner?"),
        ("tolerance = 'wide'", "tolerance: a number is wanted, not 'wide'"),
        ("covers = 1", "covers: true or false is wanted, not 1"),
        ("num_workers = 1.5", "num_workers: a whole number is wanted, not 1.5"),
        ("rule = 'bach'", "rule: invalid choice: 'bach'"),
        ("explain = ['A']", "explain: a list of 2 is wanted"),
        ("[match]\ntolerance = 2", "unknown key match"),
        ("tolerance = ", "is no TOML"),
        ("tolerance = 1\ntolerance = 2", "is no TOML"),
        ("config = 'other.toml'", "unknown key config"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_key_and_file(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.toml"
    file.write_text(text)
    assert cli.main(["match", "--config", str(file)]) == 2
    said = capsys.readouterr().err
    assert f"error: --config {file}: " in said and says in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xff\xfe", "is no TOML"),
        (b"{}", "names no verb"),
        (b'{"verb": "prune"}', "is of a run of prune, not of match"),
        (b'{"verb": "match"}', "options is no object"),
        (b"[[[", "is no JSON"),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_no_configuration(
    data: bytes | None, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / ("run.toml" if "TOML" in says else "run.json")
    if data is not None:
        file.write_bytes(data)
    assert cli.main(["match", f"--config={file}"]) == 2
    said = capsys.readouterr().err
    assert says in said and str(file) in said and said.count("\n") == 1


def test_the_command_line_wins_and_a_later_file_too(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('music = "a"\nextensions = "wav"\nrunner = "X"\n')
    later = 'extensions = "mp3"\nno-follow-links = true\n'
    (tmp_path / "b.toml").write_text(later, encoding="utf-8-sig")  # as some editors save it
    module = importlib.import_module(cli.VERBS["scan"][0])

    def told(*argv: str) -> dict[str, Any]:
        files = [str(tmp_path / "a.toml"), str(tmp_path / "b.toml")]
        merged = calling.merged(module, "scan", [*argv], files)
        return options.given(module.parser(merged), merged)

    all_of_it = {"music": "a", "extensions": "mp3", "no_follow_links": True, "runner": "X"}
    assert told() == all_of_it
    assert told("here", "--runner=Y") == all_of_it | {"music": "here", "runner": "Y"}
    del all_of_it["no_follow_links"]
    assert told("--no-no-follow-links") == all_of_it  # a flag is taken back
    assert "--no-runner" in calling.merged(
        module, "scan", ["--no-runner"], [str(tmp_path / "a.toml")]
    )


def test_a_recipe_in_a_configuration_brings_its_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.toml"
    file.write_text('recipe = "unet-vocals"\nchannels = [2, 3, 4]\nskips = false\n')
    assert cli.main(["train", "--config", str(file), "--print"]) == 0
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["channels", "2", "3", "4"] in said and ["skips", "False"] in said
    assert cli.main(["train", "unet-vocals-small", "--config", str(file), "--print-config"]) == 0
    told = tomllib.loads(capsys.readouterr().out)
    assert told == {"recipe": "unet-vocals-small", "channels": "2,3,4", "skips": "false"}


def test_a_finished_run_is_made_again_from_its_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("songs.csv").write_text(CATALOGUE)
    Path("run.toml").write_text('catalog = "songs.csv"\ntolerance = 5\noutput = "first"\n')
    assert cli.main(["match", "--config", "run.toml"]) == 0
    record = runs.record("first")
    assert record["counts"]["candidates"] == 2
    assert record["config"] == {
        "catalog": f"{tmp_path}/songs.csv", "tolerance": 5, "output": f"{tmp_path}/first",
    }  # fmt: skip
    assert cli.main(["match", "--config", "first", "--output", "second"]) == 0
    assert tables.read("second", "candidates").equals(tables.read("first", "candidates"))
    capsys.readouterr()
    assert cli.main(["match", "--config", "first/run.json"]) == 0
    assert "already complete" in capsys.readouterr().out
    Path("first/run.json").unlink()  # as if it had been killed
    assert cli.main(["match", "--config", "first", "--print-config"]) == 2
    assert "--config first: is not finished" in capsys.readouterr().err

    del record["config"]  # as an earlier version wrote it
    Path("old.json").write_text(json.dumps(record))
    old = ["--config", "old.json", "--catalog", "songs.csv", "--print-config"]
    assert cli.main(["match", *old]) == 0
    said = capsys.readouterr()
    assert tomllib.loads(said.out)["tolerance"] == 5
    assert said.err.count("\n") == 1 and "earlier version" in said.err


def test_a_verb_that_is_called_by_itself_says_that_it_reads_none() -> None:
    for verb in ("match", "separate"):
        with pytest.raises(BadUsage, match="read by the program"):
            importlib.import_module(cli.VERBS[verb][0]).main(["--config", "run.toml"])
