"""Help on one screen, completion, and mistakes in one plain sentence."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from mureg.cli import VERBS, main
from mureg.cli.help import GROUPS, options_of
from mureg.registration import REGISTRARS

CLASSES = {verb: import_module(f"mureg.cli.{verb}").OPTIONS for verb in VERBS}
STUDY = ("--spect", "a", "--ct", "b", "-o", "c")


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def shown(capsys, verb: str) -> str:
    """The help of a verb, as a user sees it."""
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    out, err = capsys.readouterr()
    assert err == ""
    return str(out)


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_fits_one_screen(verb: str, capsys) -> None:
    lines = shown(capsys, verb).splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_has_a_text_and_a_group(verb: str, capsys) -> None:
    text = shown(capsys, verb)
    for option in options_of(CLASSES[verb]):
        assert len(option.text.split()) >= 2, option.name
        assert any(option.name in names for names in GROUPS.values()), option.name
        assert option.invocation in text
    assert not re.search(r"\{None\}|\bNone\b|default: (False|'')", text)


@pytest.mark.parametrize("verb", VERBS)
def test_one_example_that_is_a_command_of_this_verb(verb: str, capsys) -> None:
    """The words of the example are options that the verb has."""
    command = shown(capsys, verb).split("Example:\n")[1].split()
    assert command[:2] == ["mureg", verb]
    known = {word for option in options_of(CLASSES[verb]) for word in option.invocation.replace(",", "").split()}
    assert {word for word in command if word.startswith("-")} <= known


@pytest.mark.parametrize("verb", VERBS)
def test_the_parser_knows_the_options_of_the_help_and_no_others(verb: str, monkeypatch, capsys) -> None:
    """The list of options by tyro itself, which does the parsing, is the referee."""
    import tyro

    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SystemExit):
        tyro.cli(CLASSES[verb], args=["--help"], config=(tyro.conf.FlagCreatePairsOff,))
    option = re.compile(r"^\W*?(?:-\w(?: \S+)?, )?(--[a-z][\w-]*(?:\.[\w-]+)*)", re.MULTILINE)
    by_tyro = set(option.findall(capsys.readouterr().out))
    ours = {f"--{option.name}" for option in options_of(CLASSES[verb]) if not option.positional} | {"--help"}
    assert by_tyro == ours


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_the_options_of_messages(verb: str) -> None:
    assert {"json", "quiet", "verbose", "log"} <= {option.name for option in options_of(CLASSES[verb])}


@pytest.mark.parametrize("verb", VERBS)
def test_no_flag_is_reversed(verb: str) -> None:
    """A flag is off unless given; one that begins with no- says what it skips."""
    for option in options_of(CLASSES[verb]):
        if not option.types:
            assert not option.required
            assert "default: True" not in option.text
        assert option.name.startswith("no-") == option.text.startswith("skip ")


def test_the_help_names_every_registrar(capsys) -> None:
    text = shown(capsys, "register")
    assert all(kind in text for kind in REGISTRARS)


MISTAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "an unknown option": (("register", "--spekt", "a"), "--spect"),
    "an option of a setting": (("register", *STUDY, "--osem.iterations", "3"), "--osem.iterations"),
    "a missing option": (("register", "--spect", "a"), "--output PATH not given"),
    "a missing value": (("register", "--spect", "a", "-o"), "--output with no value"),
    "a word for a number": (("register", *STUDY, "--threads", "two"), "a whole number"),
    "too few numbers": (("register", *STUDY, "--axis", "1", "2"), "--axis with 2 values; expected 6 values"),
    "a word among numbers": (("register", *STUDY, "--axis", *"12345", "x"), "a number"),
    "no such choice": (("train", "small", "-o", "x", "--device", "tpu"), "auto, cpu, cuda"),
    "a stray word": (("register", *STUDY, "word"), "word"),
    "no such registrar": (("register", *STUDY, "--registrar", "near-hart"), "near-heart"),
    "no such verb": (("regster",), "register"),
    "no such setting": (("register", *STUDY, "--set", "registrar.near_heart.pases=3"), "passes"),
    "no such table": (("register", *STUDY, "--set", "registra.passes=3"), "registrar"),
    "no such nested setting": (("register", *STUDY, "--set", "registrar.near_heart.coarse.start=3"), "starts"),
    "a word for a setting": (("register", *STUDY, "--set", "registrar.near_heart.passes=three"), "integer"),
    "a setting too large": (("register", *STUDY, "--set", "registrar.near_heart.passes=300"), "less than or equal"),
    "a value for a table": (("register", *STUDY, "--set", "registrar.near_heart.coarse=3"), "a table of settings"),
    "a setting without a value": (("register", *STUDY, "--set", "registrar.passes"), "NAME=VALUE"),
    "settings that do not fit": (
        ("register", *STUDY, "--set", "registrar.near_heart.coarse.shrink_factors=[]"), "smoothing_mm",
    ),
    "a setting of another verb": (("reconstruct", "--projections", "a", "-o", "b.nii", "--set", "registrar.passes=1"),
                                  "reconstructor"),
    "a kind": (("register", *STUDY, "--set", "registrar.kind=projection"), "--registrar"),
    "a batch": (("batch", "a", "-o", "b", "--set", "physics.scater=none"), "scatter"),
    "a cohort": (("simulate", "--cohort", "clinical", "-o", "b", "--set", "anatomy.bmx=3"), "anatomy.bmx"),
    "a kind of cohort": (("simulate", "--cohort", "clinical", "-o", "b", "--set", "anatomy.kind=x"), "'real-ct'"),
    "a cohort of that name": (("simulate", "--cohort", "clinical", "-o", "b", "--set", "seed=3"), "name=my-cohort"),
    "a comparison": (("evaluate", "--cohort", "a", "-o", "b", "--set", "near_heart.passes=x"), "integer"),
    "a training": (("train", "small", "-o", "b", "--set", "optimiser.learning_rat=1"), "learning_rate"),
    "a network": (("train", "small", "-o", "b", "--set", "network.kind=resnet"), "densenet"),
    "a training that is not there": (("train", "nowhere.toml", "-o", "b"), "No such file"),
    "quiet and verbose": (("doctor", "--quiet", "--verbose"), "one of them"),
}  # fmt: skip
FILES: dict[str, tuple[str, str]] = {
    "no TOML": ("[registrar", "TOML"),
    "no such table": ("[registar]\npasses = 1\n", "registrar"),
    "a value for a table": ("registrar = 3\n", "[registrar]"),
    "no such registrar": ('[registrar]\nkind = "nobody"\n', "near-heart"),
    "no such setting": ('[registrar]\nkind = "near-heart"\npasse = 1\n', "passes"),
    "a wrong type": ('[physics]\nradius_mm = "far"\n', "number"),
    "a list for a table": ("[[physics]]\nradius_mm = 1.0\n", "physics"),
    "an infinite limit": ("[decision]\naligned_mm = inf\n", "decision.aligned_mm"),
}


def refusal(arguments: tuple[str, ...], capsys) -> str:
    """The one sentence with which a command is refused."""
    assert main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (sentence,) = err.splitlines()
    assert sentence.startswith("mureg: ")
    assert "; expected " in sentence
    return str(sentence)


def assert_plain(sentence: str) -> None:
    """No place in the program, no type of the language, no address."""
    for leak in ("mureg.", "pydantic", "http", "class '", "NoneType", "int()", "instance of", "Errno", "Traceback"):
        assert leak not in sentence.removeprefix("mureg: ").replace("mureg settings", ""), leak


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gives_one_plain_sentence(name: str, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, word = MISTAKES[name]
    sentence = refusal(arguments, capsys)
    assert word in sentence
    assert_plain(sentence)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FILES)
def test_a_mistake_in_a_file_gives_one_plain_sentence(name: str, tmp_path, capsys) -> None:
    text, word = FILES[name]
    (tmp_path / "mine.toml").write_text(text)
    sentence = refusal(("register", *STUDY, "--settings", str(tmp_path / "mine.toml")), capsys)
    assert "mine.toml" in sentence
    assert word in sentence
    assert_plain(sentence)


def test_a_fault_gives_one_sentence_and_no_traceback() -> None:
    code = (
        "import sys, mureg.cli.doctor, mureg.cli as command_line\n"
        "def fails(_): raise ZeroDivisionError('of DOE^JOHN in mureg.registration.near_heart')\n"
        "mureg.cli.doctor.main = fails\n"
        "sys.argv = ['mureg', 'doctor']\n"
        "command_line.entry()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("mureg: a fault in mureg (ZeroDivisionError)")
    assert "--log" in line
    assert "DOE" not in line


def completed(capsys, words: list[str]) -> list[str]:
    """What bash offers for the last of the words."""
    assert main(["--print-completion", "bash"]) == 0
    source = capsys.readouterr().out
    line = " ".join(f"'{word}'" for word in words)
    ask = f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _mureg; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    answer = subprocess.run(["bash", "-c", source + ask], capture_output=True, text=True, check=True)
    return answer.stdout.split()


def test_bash_completes_verbs_options_and_values(capsys) -> None:
    assert completed(capsys, ["mureg", "re"]) == ["register", "review", "reconstruct"]
    assert completed(capsys, ["mureg", "register", "--allow"]) == [
        "--allow-different-patients", "--allow-corrected-spect", "--allow-derived",
    ]  # fmt: skip
    assert completed(capsys, ["mureg", "train", "--device", "c"]) == ["cpu", "cuda"]
    assert completed(capsys, ["mureg", "register", "--ct", "x"]) == []


@pytest.mark.parametrize("shell", ["zsh", "fish", "powershell"])
def test_other_shells_are_given_every_verb_and_option(shell: str, capsys) -> None:
    assert main(["--print-completion", shell]) == 0
    text = capsys.readouterr().out
    for verb, options in CLASSES.items():
        assert verb in text
        for option in options_of(options):
            assert option.positional or f"-l {option.name} " in text or f"--{option.name}" in text


def test_no_completion_for_a_shell_that_is_not_there(capsys) -> None:
    assert main(["--print-completion", "cmd"]) == 2
    assert "bash, zsh, fish, powershell" in capsys.readouterr().err


def test_the_readme_tells_how_to_complete() -> None:
    assert "--print-completion" in (Path(__file__).parents[2] / "README.md").read_text("utf-8")
