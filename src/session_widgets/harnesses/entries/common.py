"""What several harnesses have in common."""

OPENAI_DEFAULT_MODEL = "gpt-5.2-codex"
PLATFORMS = tuple(f"{system}-{cpu}" for system in ("linux", "darwin") for cpu in ("x64", "arm64"))
"""As npm packages name them."""
GATEWAY = "gateway"
"""Name of the model provider that OPENAI_BASE_URL stands for, where it is set."""
MODALITIES = {"input": ["text", "image"], "output": ["text"]}
"""Of a model behind it, which nobody knows: without this an image in a prompt would be dropped without a word."""
COMPILED = {"NODE_COMPILE_CACHE": "{cache}/node"}
"""From Node.js 22 on a program that is started again is not compiled again: a quarter to a third less of its time."""
