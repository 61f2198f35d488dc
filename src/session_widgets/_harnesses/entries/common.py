"""Values shared by several harnesses."""

OPENAI_DEFAULT_MODEL = "gpt-5.2-codex"
PLATFORMS = tuple(f"{system}-{cpu}" for system in ("linux", "darwin") for cpu in ("x64", "arm64"))
"""Platform names of npm packages."""
GATEWAY = "gateway"
"""Name of the model provider for OPENAI_BASE_URL, if it is set."""
MODALITIES = {"input": ["text", "image"], "output": ["text"]}
"""Capabilities assumed for an unknown model behind it: without them images in a prompt are dropped silently."""
COMPILED = {"NODE_COMPILE_CACHE": "{cache}/node"}
"""From Node.js 22 on a program that is started again is not compiled again: a quarter to a third less of its time."""
