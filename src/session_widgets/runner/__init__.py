"""The program inside every sandbox: agents, files and processes over HTTP (`python -m session_widgets.runner`)."""
