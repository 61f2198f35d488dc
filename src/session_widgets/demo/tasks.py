"""Runs the demo harness's suggestions: files, a plan, diffs, commands, a question."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from session_widgets.demo import client, free_text, tools
from session_widgets.demo.reply import Reply
from session_widgets.demo.suggestions import ASK, LOOK, WRITE

PRIMES = "primes.py"
SLOW = '''\
"""Print the primes below 50."""

for number in range(2, 50):
    if all(number % other for other in range(2, number)):
        print(number, end=" ")
print()
'''
FAST = SLOW.replace("range(2, number))", "range(2, int(number**0.5) + 1))")
POEM = "poem.md"
POEMS = {
    "a haiku": "Cells run in a row.\nThe kernel keeps what they said.\nAn agent adds one.\n",
    "a limerick": (
        "There once was a kernel at night,\nwhich answered each cell that was right.\nAn agent came by\n"
        "and gave it a try:\nnow all of its tests are in sight.\n"
    ),
}
QUESTION = {
    "mode": "form",
    "message": "What should I write?",
    "requestedSchema": {
        "type": "object",
        "required": ["kind"],
        "properties": {
            "kind": {"type": "string", "title": "Kind", "enum": list(POEMS)},
            "heading": {"type": "string", "title": "Heading", "maxLength": 80, "default": "For you"},
        },
    },
}


async def look(reply: Reply) -> None:
    """List the workspace, read its README, and take a note."""
    await free_text.answer(reply, LOOK)


async def write(reply: Reply) -> None:
    """Write a script, run it, and make it better."""
    steps = ("Write the script", "Run it", "Look at fewer divisors", "Run it again")
    await reply.show_plan(steps, 0)
    await reply.say("I will print the primes below 50, and begin with the simplest way.")
    done = await tools.write(reply, PRIMES, SLOW)
    await reply.show_plan(steps, 1)
    await tools.run(reply, f"python3 {PRIMES}")
    await reply.show_plan(steps, 2)
    await reply.say("A number that has a divisor has one up to its root, so the script can stop there.")
    done = await tools.write(reply, PRIMES, FAST) and done
    await reply.show_plan(steps, 3)
    await tools.run(reply, f"python3 {PRIMES}")
    await reply.show_plan(steps, 4)
    await reply.say(f"`{PRIMES}` is in the workspace." if done else "The script is not as I wanted it: see above.")


async def ask(reply: Reply) -> None:
    """Ask what to write, and write it."""
    steps = ("Ask what to write", "Write it")
    await reply.show_plan(steps, 0)
    answer = await client.question(reply, QUESTION) or {}
    await reply.show_plan(steps, 1)
    poem = POEMS.get(str(answer.get("kind")))
    if poem is None:
        await reply.say("So I leave everything as it is.")
        return
    done = await tools.write(reply, POEM, f"# {answer.get('heading') or 'For you'}\n\n{poem}")
    await reply.show_plan(steps, 2)
    await reply.say(f"`{POEM}` is in the workspace." if done else f"I did not write `{POEM}`.")


TASKS: Mapping[str, Callable[[Reply], Awaitable[None]]] = {LOOK: look, WRITE: write, ASK: ask}


def find(prompt: str) -> Callable[[Reply], Awaitable[None]] | None:
    """Return the task that a prompt names, but for its case and its last full stop."""
    wanted = " ".join(prompt.lower().split()).rstrip(".")
    return next((task for words, task in TASKS.items() if words.lower() == wanted), None)
