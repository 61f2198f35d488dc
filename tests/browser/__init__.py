"""JupyterLab in Chromium: a person's actions, on real kernels."""
