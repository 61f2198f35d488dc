"""What a new session of the demo harness suggests; `tasks.py` carries it out."""

LOOK = "Look around and tell me what is in this workspace"
WRITE = "Write a small Python script and run it"
ASK = "Ask me what to write, then write it"
