"""Secrets that tests plant."""

from __future__ import annotations

VALUE = 'p@ss/word "with\\ all\nsorts ü'
PEM = "\n".join(
    ["-----BEGIN OPENSSH PRIVATE KEY-----", *["b3BlbnNzaC1r" * 5] * 9, "ab==", "-----END OPENSSH PRIVATE KEY-----"]
)
SHAPES = [
    "sk-ant-api03-" + "aB3" * 12,
    "sk-ant-" + "abcdefgh" * 4,
    "sk-proj-" + "x9Y" * 12,
    "sk-" + "a1B2c" * 4 + "T3BlbkFJ" + "d3E4f" * 4,
    "AIza" + "SyD-9tSr_" * 3 + "abcdefgh",
    "hf_" + "aBcDeFgH" * 4 + "ij",
    "gsk_" + "aB3d" * 13,
    "e2b_" + "0a1b" * 10,
    "dtn_" + "0a1b" * 16,
    *(f"gh{kind}_" + "a1B2" * 9 for kind in "pousr"),
    "github_pat_" + "11ABC" * 6,
    "glpat-" + "x1-Y_" * 4,
    "glrt-" + "x1-Y_" * 4,
    "dckr_pat_" + "aB3_-" * 5,
    "npm_" + "aB3d" * 9,
    "pypi-AgEIcHlwaS5vcmc" + "aB3_-" * 15,
    "SG." + "aB3_-x" * 3 + "abcd." + "aB3_-x" * 7 + "z",
    "xoxb-1234567890-1234567890-" + "aB3d" * 6,
    "xapp-1-A012-" + "a1b2" * 8,
    "sk_live_" + "a1B2" * 6,
    "sq0csp-" + "a1B2-" * 8 + "a1B",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    PEM,
    PEM.partition("-----END")[0].rstrip(),
]
MORE_SHAPES = [
    "rk_live_" + "a1B2" * 6,
    "GOCSPX-" + "a1B2-" * 6,
    "ya29." + "a0Af_b-C." * 4,
    "xai-" + "aB3d" * 20,
    "r8_" + "aB3" * 12,
    "nvapi-" + "aB3_-" * 12,
    "dapi" + "0a1b" * 8,
    *(f"gl{kind}-" + "x1-Y_" * 4 for kind in ("dt", "ft", "soat", "cbt", "imt", "ptt", "agent", "oas")),
    "dckr_oat_" + "aB3_-" * 5,
    "hooks.slack.com/services/T012ABCDE/B012ABCDE/" + "a1B2" * 6,
    "ABIAIOSFODNN7EXAMPLE",
    "ACCAIOSFODNN7EXAMPLE",
]
"""Of vendors that the others resemble."""
