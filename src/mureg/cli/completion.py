"""Completion of verbs, options and values in bash, zsh, fish and PowerShell: ``mureg --print-completion SHELL``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mureg.cli.help import Option

Verbs = Mapping[str, tuple[str, Sequence[Option]]]
"""The sentence and the options of each verb."""


def script(shell: str, verbs: Verbs) -> str:
    """The script that teaches a shell to complete ``mureg``; `shell` is a key of `SHELLS`."""
    return SHELLS[shell](verbs)


def _names(options: Sequence[Option]) -> list[str]:
    return [f"--{option.name}" for option in options if not option.positional] + ["--help"]


def _bash(verbs: Verbs) -> str:
    """After an option with choices its choices; for a word that begins with a hyphen the options; else files."""
    cases = [
        f'    {verb}:--{option.name}) COMPREPLY=($(compgen -W "{" ".join(option.choices)}" -- "$word")); return;;'
        for verb, (_, options) in verbs.items()
        for option in options
        if option.choices and not option.positional
    ]
    names = [f'    {verb}) options="{" ".join(_names(options))}";;' for verb, (_, options) in verbs.items()]
    return "\n".join(
        [
            "_mureg() {",
            '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"',
            '  local verb="${COMP_WORDS[1]}" options=""',
            "  if [ $COMP_CWORD -eq 1 ]; then",
            f'    COMPREPLY=($(compgen -W "{" ".join(verbs)} --help --version" -- "$word")); return',
            "  fi",
            '  case "$verb:$before" in',
            *cases,
            "  esac",
            '  case "$verb" in',
            *names,
            "  esac",
            '  case "$word" in',
            '    -*) COMPREPLY=($(compgen -W "$options" -- "$word"));;',
            "  esac",
            "}",
            "complete -o default -o bashdefault -F _mureg mureg",
            "",
        ]
    )


def _zsh(verbs: Verbs) -> str:
    return "autoload -U +X compinit bashcompinit\ncompinit\nbashcompinit\n" + _bash(verbs)


def _fish(verbs: Verbs) -> str:
    lines = []
    for verb, (sentence, options) in verbs.items():
        lines.append(f"complete -c mureg -n __fish_use_subcommand -f -a {verb} -d {_fish_text(sentence)}")
        for option in options:
            if option.positional:
                continue
            parts = [f"complete -c mureg -n '__fish_seen_subcommand_from {verb}' -l {option.name}"]
            parts += [f"-x -a '{' '.join(option.choices)}'"] if option.choices else []
            parts += ["-r"] if option.types and not option.choices else []
            lines.append(" ".join([*parts, f"-d {_fish_text(option.text)}"]))
    return "\n".join(lines) + "\n"


def _fish_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _powershell(verbs: Verbs) -> str:
    lists = {verb: ", ".join(f"'{name}'" for name in _names(options)) for verb, (_, options) in verbs.items()}
    table = [f"  '{verb}' = @({names})" for verb, names in lists.items()]
    return "\n".join(
        [
            "$muregOptions = @{",
            *table,
            "}",
            "Register-ArgumentCompleter -Native -CommandName mureg -ScriptBlock {",
            "  param($word, $ast, $position)",
            "  $words = @($ast.CommandElements | ForEach-Object { $_.ToString() })",
            "  $first = $words.Count -lt 2 -or ($words.Count -eq 2 -and $word -ne '')",
            "  $names = if ($first) { $muregOptions.Keys | Sort-Object } else { $muregOptions[$words[1]] }",
            '  $names | Where-Object { $_ -like "$word*" } |',
            "    ForEach-Object { [System.Management.Automation.CompletionResult]::new($_) }",
            "}",
            "",
        ]
    )


SHELLS: dict[str, Callable[[Verbs], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish, "powershell": _powershell}
"""The shells that can be taught."""
