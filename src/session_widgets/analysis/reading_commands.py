"""Which commands certainly change no file."""

from __future__ import annotations

import re
import shlex

_READERS = frozenset((
    "[", "basename", "cat", "cd", "column", "comm", "cut", "date", "df", "diff", "dirname", "du", "echo", "egrep",
    "false", "fgrep", "file", "grep", "head", "hexdump", "id", "jq", "less", "ls", "md5sum", "nl", "od", "printf",
    "ps", "pwd", "readlink", "realpath", "rg", "sha256sum", "sleep", "stat", "strings", "tac", "tail", "test", "tr",
    "tree", "true", "type", "uname", "wc", "which", "whoami",
))  # fmt: skip
_GIT = frozenset(("blame", "diff", "grep", "log", "ls-files", "ls-tree", "rev-parse", "show", "status"))
_HARMLESS = re.compile(r"\d?>&\d|[\d&]?>\s*/dev/null|</dev/null")
_WRITES = {
    "find": ("-delete", "-exec", "-execdir", "-ok", "-okdir", "-fprint", "-fprintf", "-fls", "-fprint0"),
    "git": ("--output", "-o"),
    "rg": ("--pre",),
    "tree": ("-o",),
    "sort": ("-o", "--output"),
}
_LINES = re.compile(r"[\d,$]+p")
_LIMIT = 20_000


def reads_only(script: str) -> bool:
    """Whether a shell script consists of known commands that change no file; False in doubt.

    Example:
        >>> reads_only("cd src && grep -n x *.py | head -5"), reads_only("echo x > a"), reads_only("make")
        (True, False, False)
    """
    if len(script) > _LIMIT:
        return False
    try:
        lexer = shlex.shlex(_HARMLESS.sub(" ", script).replace("\n", " ; "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        lexer.commenters = ""
        words = list(lexer)
    except ValueError:
        return False
    commands: list[list[str]] = [[]]
    for word in words:
        if word in {"&&", "||", ";", "|"}:
            commands.append([])
        elif set(word) <= set("();<>|&") or "$(" in word or "`" in word:
            return False
        else:
            commands[-1].append(word)
    return all(_reads(command) for command in commands if command)


def _reads(words: list[str]) -> bool:
    program, arguments = words[0], words[1:]
    if any(word.startswith(_WRITES.get(program, ("\0",))) for word in arguments):
        return False
    if program == "git":
        return bool(arguments) and arguments[0] in _GIT
    if program == "sed":  # only to print lines
        return (
            len(arguments) > 1
            and arguments[0] == "-n"
            and bool(_LINES.fullmatch(arguments[1]))
            and not _in_place(words)
        )
    return program in _READERS or program in {"find", "sort"}


def _in_place(words: list[str]) -> bool:
    return any(word.startswith(("-i", "--in-place")) for word in words)
