// Light or dark, like the host: JupyterLab marks the body, others use a class, else the system's setting.

const DARK_CLASSES = ["dark", "dark-mode", "vscode-dark", "vscode-high-contrast"];
const LIGHT_CLASSES = ["light", "light-mode", "vscode-light"];

function isDark(): boolean {
  const lab = document.body.dataset["jpThemeLight"];
  if (lab) return lab === "false";
  for (const element of [document.body, document.documentElement]) {
    if (DARK_CLASSES.some((name) => element.classList.contains(name)) || element.dataset["theme"] === "dark") return true;
    if (LIGHT_CLASSES.some((name) => element.classList.contains(name)) || element.dataset["theme"] === "light") return false;
  }
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Keep `data-theme` of `root` equal to the host's theme; returns a function that stops it. */
export function followTheme(root: HTMLElement): () => void {
  const apply = () => {
    root.dataset["theme"] = isDark() ? "dark" : "light";
  };
  const observer = new MutationObserver(apply);
  const options = { attributes: true, attributeFilter: ["class", "data-jp-theme-light", "data-theme"] };
  observer.observe(document.body, options);
  observer.observe(document.documentElement, options);
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", apply);
  apply();
  return () => {
    observer.disconnect();
    media.removeEventListener("change", apply);
  };
}
