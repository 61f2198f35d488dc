"""The answer to a prompt that is no script: look around, take a note, report."""

from __future__ import annotations

from session_widgets.demo import tools
from session_widgets.demo.reply import Reply

NOTES = "NOTES.md"
_SHOWN = 20  # entries of the workspace
_ABILITIES = """\
I have no model: I follow scripts, one command a line. Try:

```text
plan look around; greet
write hello.py <<EOT
print("hello")
EOT
run python3 hello.py
say done
```

I also know `think`, `read PATH`, `wait SECONDS`, `question TEXT | A | B`, `stream N`, `remember`, `fail MESSAGE` and
`crash CODE`."""


async def answer(reply: Reply, prompt: str) -> None:
    """Look at the workspace, write a note about it, and tell what was found and what else can be done."""
    await reply.say("I will look at the workspace first.")
    names = await tools.listing(reply)
    readme = next((name for name in names if name.lower().startswith("readme") and not name.endswith("/")), None)
    summary = _first_paragraph(await tools.read(reply, readme) or "") if readme else ""
    found = _found(names, readme, summary)
    noted = await _take_note(reply, prompt, found)
    done = f"I wrote this down in `{NOTES}`." if noted else f"I did not write `{NOTES}`."
    await reply.say(f"{found}\n\n{done}\n\n{_ABILITIES}")


async def _take_note(reply: Reply, prompt: str, found: str) -> bool:
    old = ""
    target = reply.session.cwd / NOTES
    if target.is_file():
        try:
            old, whole = tools.show(tools.inside(reply.session.cwd, NOTES))
        except ValueError:
            return False
        if not whole or "\ufffd" in old:  # not ours to rewrite
            return False
    asked = "\n".join(f"> {line}" for line in prompt.strip().splitlines()) or "> (nothing)"
    heading = f"{old.rstrip()}\n\n" if old.strip() else "# Notes\n\n"
    return await tools.write(reply, NOTES, f"{heading}## Turn {reply.session.memory.turns}\n\n{asked}\n\n{found}\n")


def _found(names: list[str], readme: str | None, summary: str) -> str:
    if not names:
        return "The workspace is empty."
    entries = [f"- `{name}`" for name in names[:_SHOWN]]
    if len(names) > _SHOWN:
        entries.append(f"- and {len(names) - _SHOWN} more")
    count = f"{len(names)} entr{'y' if len(names) == 1 else 'ies'}"
    about = [f"`{readme}` begins: {summary}"] if readme and summary else []
    return "\n\n".join([f"The workspace has {count}:", "\n".join(entries), *about])


def _first_paragraph(text: str) -> str:
    paragraphs = (" ".join(part.split()) for part in text.split("\n\n"))
    return next((part for part in paragraphs if part and not part.startswith("#")), "")[:300]
