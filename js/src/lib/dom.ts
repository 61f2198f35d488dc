// Helpers for every view.
import { html, type TemplateResult } from "lit-html";
import { icon } from "./icons.ts";

/** Draw at most once a frame. */
export function framed(draw: () => void): () => void {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}

/** A new element with these classes, at the end of another one. */
export function element(tag: string, classes: string, parent: HTMLElement, attributes: Record<string, string> = {}): HTMLElement {
  const made = document.createElement(tag);
  made.className = classes;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent.append(made);
  return made;
}

/** A root that ignores the host's shortcuts. */
export function createRoot(parent: HTMLElement, classes: string): HTMLElement {
  const root = document.createElement("div");
  root.className = `sw ${classes}`;
  root.dataset["lmSuppressShortcuts"] = "true";
  for (const type of ["keydown", "keypress", "keyup"]) root.addEventListener(type, (event) => event.stopPropagation());
  parent.append(root);
  return root;
}

/** Hide the static snapshot beside a live widget, also after it is drawn again. */
export function hideSnapshot(root: HTMLElement, id: string): void {
  if (!/^[0-9a-f]+$/.test(id)) return;
  const style = document.createElement("style");
  style.textContent = `[data-sw-for="${id}"], .jp-OutputArea-child:has([data-sw-for="${id}"]) { display: none !important }`;
  root.append(style);
}

/** A button that copies the result of `text` and confirms it. */
export function copyButton(text: () => string, label = "Copy"): TemplateResult {
  return html`<button type="button" class="sw-ghost sw-copy" title=${label} aria-label=${label} @click=${copy(text)}>${icon("copy")}${icon("check")}</button>`;
}

function copy(text: () => string) {
  return async (event: Event) => {
    const button = event.currentTarget as HTMLElement;
    event.stopPropagation();
    await writeClipboard(text());
    button.classList.add("sw-copied");
    setTimeout(() => button.classList.remove("sw-copied"), 1400);
  };
}

async function writeClipboard(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // plain http on another host: the page has no clipboard object
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}
