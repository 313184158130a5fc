"""Shell completion of runs by id and name, recipes, settings and their values. Imports nothing heavy.

bash splits words at ``=``, so ``--set lr=`` reaches a completion function in three pieces; ``Bash`` joins them and
returns only the part after the ``=``. zsh does not split there, and only must not add a space after it; fish adds
none.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

from engine.errors import SpringtuiError
from engine.runs.home import default_home
from engine.runs.listing import list_runs, names_of
from engine.settings.fields import S, default_of, field_choices, field_help, field_names
from engine.settings.recipes import RECIPES

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
_MOST_RUNS = 200
_AWKWARD = frozenset("\\'\"$`!&|;<>(){}[]*?#~:=,^%/")
"""Characters that mean something to a shell or to its completion; a name that holds one is not offered."""
_SCRIPT = """\
%(complete_func)s() {
    local IFS=$'\\n' response line kind value
    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete $1)
    COMPREPLY=()
    for line in $response; do
        kind=${line%%%%,*} value=${line#*,}
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            open) compopt -o nospace; COMPREPLY+=("$value") ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""
_ZSH_SCRIPT = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local kind value help
    local -a answer plain told open
    answer=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \\
        %(complete_var)s=zsh_complete $words[1])}")
    for kind value help in $answer; do
        case $kind in
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            open) open+=("$value:$help") ;;
            plain) [[ $help == _ ]] && plain+=("$value") || told+=("$value:$help") ;;
        esac
    done
    (( $#open )) && _describe -V open open -U -S ''
    (( $#told )) && _describe -V told told -U
    (( $#plain )) && compadd -U -V plain -a plain
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""


def complete_run(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    """``last``, then names that only one run has, then ids; of the newest runs under the home directory."""
    try:
        home = context.find_root().obj.look_home()
    except (SpringtuiError, AttributeError):
        home = default_home()
    runs = list_runs(home)[:_MOST_RUNS]
    given = [(name, run.id) for run in runs for name in names_of(run)]
    count = Counter(name for name, _ in given)
    named = [CompletionItem(name, help=run) for name, run in given if count[name] == 1 and _can_be_offered(name)]
    items = [CompletionItem("last"), *named, *(CompletionItem(run.id) for run in runs)]
    return [item for item in items if str(item.value).startswith(begun)]


def complete_run_or_path(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """As ``complete_run``; files and folders where a path was begun, or where no run fits and one of them does."""
    items = [] if os.sep in begun or begun.startswith(".") else complete_run(context, parameter, begun)
    if items or not begun or begun.startswith("-"):
        return items
    is_path = os.sep in begun or any(name.startswith(begun) for name in os.listdir())  # noqa: PTH208 (names alone)
    return [CompletionItem(begun, type="file")] if is_path else []


def _can_be_offered(name: str) -> bool:
    """Whether a shell can be given the name as it is, but for spaces."""
    return name.isprintable() and not name.startswith("-") and not _AWKWARD & set(name)


def complete_names(names: Callable[[], Iterable[str]]) -> Completer:
    """A completer of names; ``names`` is called when the shell asks for them."""

    def complete(_context: click.Context, _option: click.Parameter, begun: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in names() if name.startswith(begun)]

    return complete


def complete_list(names: Callable[[], Iterable[str]]) -> Completer:
    """A completer of a list of names with commas between them."""

    def complete(_context: click.Context, _option: click.Parameter, begun: str) -> list[CompletionItem]:
        before, comma, last = begun.rpartition(",")
        taken = set(before.split(","))
        return [CompletionItem(before + comma + n) for n in names() if n.startswith(last) and n not in taken]

    return complete


def complete_assignment(cls: type[Any]) -> Completer:
    """A completer of ``key=`` for the settings of a kind of run, and then of their values or default."""

    def complete(_context: click.Context, _option: click.Parameter, begun: str) -> list[CompletionItem]:
        return list(_assignments(cls, begun))

    return complete


def _assignments(cls: type[S], begun: str) -> Iterable[CompletionItem]:
    key, sep, value = begun.partition("=")
    if not sep:
        for name in field_names(cls):
            if name.startswith(key.replace("-", "_")):
                yield CompletionItem(f"{name}=", help=field_help(cls, name))
    elif (name := key.replace("-", "_")) in field_names(cls):
        default = default_of(cls, name)
        for choice in field_choices(cls, name) or ["none" if default is None else f"{default}"]:
            if choice.startswith(value):
                yield CompletionItem(f"{key}={choice}")


complete_recipe = complete_names(lambda: RECIPES)


class Bash(BashComplete):
    """bash completion that also works on both sides of a ``=``."""

    source_template: ClassVar[str] = _SCRIPT

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one under the cursor, and that word, joined where bash split them at ``=``."""
        words = split_arg_string(os.environ["COMP_WORDS"])
        current = int(os.environ["COMP_CWORD"])
        words = [*words, *[""] * (current + 1 - len(words))][1 : current + 1]
        joined = _joined(words)
        self._before = joined[-1][: len(joined[-1]) - len(words[-1])] if words[-1] != "=" else joined[-1]
        return joined[:-1], joined[-1]

    def format_completion(self, item: CompletionItem) -> str:
        """``kind,value``, with the part of a joined word that bash replaces; kind ``open``: no space follows.

        Spaces have a backslash before them, since bash inserts the value as it is.
        """
        value = str(item.value)
        kind = "open" if value.endswith("=") else item.type
        return f"{kind},{value.removeprefix(self._before)}".replace(" ", "\\ ")


def _joined(words: list[str]) -> list[str]:
    """Words with those around each ``=`` joined to one."""
    joined: list[str] = []
    for index, word in enumerate(words):
        if joined and (word == "=" or (index > 1 and words[index - 1] == "=")):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


class Zsh(ZshComplete):
    """zsh completion that adds no space after a setting's ``=``."""

    source_template: ClassVar[str] = _ZSH_SCRIPT

    def format_completion(self, item: CompletionItem) -> str:
        """Kind, value and help, a line each; kind ``open``: no space follows."""
        kind, *rest = super().format_completion(item).split("\n")
        return "\n".join(["open" if str(item.value).endswith("=") else kind, *rest])


def add_shells() -> None:
    """Register ``Bash`` and ``Zsh`` with click, in place of its own classes."""
    add_completion_class(Bash, "bash")
    add_completion_class(Zsh, "zsh")
