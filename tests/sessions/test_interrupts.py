"""An interrupt at any instruction of a blocking call blocks no other caller."""

import subprocess
import sys

INTERRUPTED = """
import asyncio, random, signal, warnings
from session_widgets._sessions.loop import private_loop
from session_widgets._sessions.change_signal import ChangeSignal

warnings.simplefilter("ignore")  # a call that was interrupted before it began was never awaited
news, loop = ChangeSignal(), private_loop()

async def tell():
    news.tell()

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
random.seed(5)
count = 0
for _ in range(1500):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 3e-4), 0.5)
        while True:
            seen = news.count
            loop.run(tell())
            news.wait(seen, None)
    except KeyboardInterrupt:
        count += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
assert loop.run(asyncio.sleep(0, "answers")) == "answers"
assert count == 1500
print("all is well")
"""


def test_many_interrupts_leave_the_private_loop_free():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=50)
    assert done.stdout == "all is well\n", done.stderr[-2000:]
