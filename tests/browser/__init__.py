"""JupyterLab in Chromium: what a person does, on real kernels, with nothing between."""
