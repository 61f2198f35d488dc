// A preview of one file: text with line numbers, images, a message for everything else.
import { html, nothing, type TemplateResult } from "lit-html";
import { guard } from "lit-html/directives/guard.js";
import { highlighted, languageOf } from "../lib/highlight.ts";
import { icon, fileIcon, spinner } from "../lib/icons.ts";
import type { Rpc } from "../lib/rpc.ts";
import { basename, bytes, line, visible } from "../lib/text.ts";
import { readPiece, readWhole } from "./transfer.ts";

const TEXT_LIMIT = 256 * 1024;
const IMAGE_LIMIT = 20 * 1024 * 1024;
const SVG = "image/svg+xml";
const IMAGES = new Map([
  ["png", "image/png"],
  ["jpg", "image/jpeg"],
  ["jpeg", "image/jpeg"],
  ["gif", "image/gif"],
  ["webp", "image/webp"],
  ["bmp", "image/bmp"],
  ["avif", "image/avif"],
  ["svg", SVG],
]);

type Content =
  | { kind: "loading" }
  | { kind: "text"; text: string; size: number; latin: boolean }
  | { kind: "image"; url: string; size: number }
  | { kind: "words"; words: string; size: number }
  | { kind: "error"; words: string };

export class Preview {
  path = "";
  private content: Content = { kind: "loading" };
  private version = "";

  constructor(private rpc: Rpc, private changed: () => void) {}

  /** Show `path` in `version`; does nothing if it is already shown. */
  async show(path: string, version: string): Promise<void> {
    if (path === this.path && version === this.version) return;
    const other = path !== this.path;
    this.path = path;
    this.version = version;
    if (other) this.put({ kind: "loading" });
    if (!path) return;
    try {
      const content = await this.load(path);
      if (this.path === path && this.version === version) this.put(content);
      else if (content.kind === "image") URL.revokeObjectURL(content.url);
    } catch (error) {
      if (this.path === path) this.put({ kind: "error", words: (error as Error).message });
    }
  }

  view(head: TemplateResult): TemplateResult {
    const { content, path } = this;
    return html`<section class="sw-preview" aria-label="Preview of ${line(path)}">
      <div class="sw-preview-head">
        ${icon(fileIcon(path, "file"))}<bdi class="sw-preview-name" title=${line(path)}>${line(basename(path))}</bdi>
        ${"size" in content ? html`<span class="sw-dim">${bytes(content.size)}</span>` : nothing}
        ${head}
      </div>
      <div class="sw-preview-body" tabindex="0">${guard([content], () => draw(content, path))}</div>
    </section>`;
  }

  dispose(): void {
    this.put({ kind: "loading" });
  }

  private put(content: Content): void {
    if (this.content.kind === "image") URL.revokeObjectURL(this.content.url);
    this.content = content;
    this.changed();
  }

  private async load(path: string): Promise<Content> {
    const mime = IMAGES.get(languageOf(path));
    const start = await readPiece(this.rpc, path, 0, TEXT_LIMIT);
    const size = start.entry.size;
    if (mime && size <= IMAGE_LIMIT) {
      const whole = size > start.bytes.length ? await readWhole(this.rpc, path) : new Blob([start.bytes]);
      return { kind: "image", url: await address(whole.slice(0, whole.size, mime)), size };
    }
    if (mime) return { kind: "words", words: "This image is too large to show. Download it to see it.", size };
    if (!size) return { kind: "words", words: "This file is empty.", size };
    if (start.bytes.includes(0)) return { kind: "words", words: "This file is not text. Download it to look inside.", size };
    return { kind: "text", ...decode(start.bytes, size > start.bytes.length), size };
  }
}

/** An SVG may contain scripts: a data URL in its own tab isolates them from the notebook's page. */
function address(image: Blob): Promise<string> | string {
  if (image.type !== SVG) return URL.createObjectURL(image);
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result as string);
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(image);
  });
}

/** UTF-8, else Latin-1; a character split by the cut is dropped. */
function decode(data: Uint8Array<ArrayBuffer>, cut: boolean): { text: string; latin: boolean } {
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(data, { stream: cut }), latin: false };
  } catch {
    return { text: new TextDecoder("latin1").decode(data), latin: true };
  }
}

function draw(content: Content, path: string): TemplateResult {
  switch (content.kind) {
    case "loading":
      return html`<div class="sw-note">${spinner()} Loading</div>`;
    case "image":
      return html`<div class="sw-stage"><img src=${content.url} alt=${line(basename(path))} /></div>`;
    case "words":
      return html`<div class="sw-note">${content.words}</div>`;
    case "error":
      return html`<div class="sw-note sw-bad" role="alert">${icon("alert")} ${visible(content.words)}</div>`;
    case "text":
      return text(content.text, content.size, content.latin, path);
  }
}

function text(source: string, size: number, latin: boolean, path: string): TemplateResult {
  const lines = source.replace(/\n$/, "").split("\n").length;
  const numbers = Array.from({ length: lines }, (_, i) => i + 1).join("\n");
  const rest = size > TEXT_LIMIT ? `Only the first ${bytes(TEXT_LIMIT)} of ${bytes(size)} are shown.` : "";
  const notes = [rest, latin ? "Not UTF-8: shown as Latin-1." : ""].filter(Boolean).join(" ");
  return html`${notes ? html`<div class="sw-preview-note">${notes}</div>` : nothing}
    <div class="sw-source"><pre class="sw-numbers" aria-hidden="true">${numbers}</pre><pre class="sw-text">${highlighted(visible(source), languageOf(path))}</pre></div>`;
}
