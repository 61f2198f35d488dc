"""Values shared by several harnesses."""

OPENAI_DEFAULT_MODEL = "gpt-5.2-codex"
PLATFORMS = tuple(f"{system}-{cpu}" for system in ("linux", "darwin") for cpu in ("x64", "arm64"))
"""Platform names of npm packages."""
ANTHROPIC, GEMINI, OPENAI = ("api.anthropic.com",), ("generativelanguage.googleapis.com",), ("api.openai.com",)
"""Hosts of models, for the networks of sandboxes."""
PROVIDERS = {
    "OPENAI_API_KEY": OPENAI,
    "ANTHROPIC_API_KEY": ANTHROPIC,
    "GEMINI_API_KEY": GEMINI,
    "OPENROUTER_API_KEY": ("openrouter.ai",),
}
"""The same of harnesses for several providers, by key."""
GATEWAY = "gateway"
"""Name of the model provider for OPENAI_BASE_URL, if it is set."""
MODALITIES = {"input": ["text", "image"], "output": ["text"]}
"""Capabilities assumed for an unknown model behind it: without them images in a prompt are dropped silently."""
COMPILED = {"NODE_COMPILE_CACHE": "{cache}/node"}
"""From Node.js 22 on a program that is started again is not compiled again: a quarter to a third less of its time."""
