// Elements that several kinds of rows share: markdown, output, diffs, and the button for the rest of a long text.
import { html, nothing, type TemplateResult } from "lit-html";
import { unsafeHTML } from "lit-html/directives/unsafe-html.js";
import { ansiRuns, stripAnsi } from "../lib/ansi.ts";
import { diffRows, type Row, type Rows } from "../lib/diff.ts";
import { copyButton } from "../lib/dom.ts";
import { highlighted } from "../lib/highlight.ts";
import { fileIcon, icon, spinner } from "../lib/icons.ts";
import type { Block, Step, Text } from "../lib/protocol.ts";
import { basename, bytes, count, line, plural, visible } from "../lib/text.ts";
import type { RowUi } from "./ui.ts";

const MARKDOWN_LIMIT = 200_000;
const ROWS = 160;

/** Draw one element, or an error in its place; the rest of the page is drawn anyway. */
export function whole(draw: () => TemplateResult | typeof nothing): TemplateResult | typeof nothing {
  try {
    return draw();
  } catch (error) {
    return html`<div class="sw-error" role="alert">${icon("alert")}<div class="sw-error-text">
      This cannot be drawn: ${line(String(error), 200)}. The transcript has it.</div></div>`;
  }
}

export function prose(ui: RowUi, text: string): TemplateResult {
  if (text.length > MARKDOWN_LIMIT) return html`<pre class="sw-plain">${visible(text)}</pre>`;
  return html`<div class="sw-md">
    ${ui.markdown.blocks(text).map((block) => {
      if (block.type === "code") return code(block.text, block.lang);
      if (block.type === "text") return html`<pre class="sw-plain" dir="auto">${visible(block.text)}</pre>`;
      return html`<div class="sw-md-block" dir="auto">${unsafeHTML(block.html)}</div>`;
    })}
  </div>`;
}

export function code(text: string, lang: string): TemplateResult {
  return html`<div class="sw-code">
    <div class="sw-code-head"><span>${line(lang || "text", 30)}</span>${copyButton(() => text, "Copy code")}</div>
    <pre><code>${highlighted(visible(text), lang)}</code></pre>
  </div>`;
}

/** A button for the rest of a text whose start alone was sent. */
export function rest(ui: RowUi, step: Step, part: string, start: Text): TemplateResult | typeof nothing {
  const shown = ui.text(step, part, start);
  const left = shown.length - [...shown.text].length;
  if (left <= 0) return nothing;
  return html`<button type="button" class="sw-more" @click=${() => ui.more(step, part, start)}>
    Show more <span class="sw-dim">${count(left)} of ${count(shown.length)} characters left</span>
  </button>`;
}

/** The newest lines of a text that grows beyond its sent start. */
export function tail({ tail }: Text): TemplateResult | typeof nothing {
  return tail ? html`<pre class="sw-tail" aria-hidden="true">${visible(tail)}</pre>` : nothing;
}

export function output(ui: RowUi, step: Step, part: string, start: Text): TemplateResult {
  const text = unfenced(ui.text(step, part, start).text);
  return html`<div class="sw-output">
    ${copyButton(() => stripAnsi(text), "Copy output")}
    <pre tabindex="0" aria-label="Output">${ansiRuns(text).map((run) =>
      run.classes || run.rgb
        ? html`<span class=${run.classes} style=${run.rgb ? `color: rgb(${run.rgb})` : nothing}>${visible(run.text)}</span>`
        : visible(run.text),
    )}</pre>
    ${rest(ui, step, part, start)}
  </div>`;
}

/** Agents often wrap output in a code fence. */
function unfenced(text: string): string {
  const trimmed = text.trim();
  const [from, to] = [trimmed.indexOf("\n") + 1, trimmed.length - 3];
  const fenced = from > 0 && from <= to && trimmed.startsWith("```") && trimmed.endsWith("```");
  return fenced ? trimmed.slice(from, to).replace(/\n$/, "") : text;
}

type DiffBlock = Extract<Block, { type: "diff" }>;

const known = new WeakMap<DiffBlock, Rows>();

export function rowsOf(block: DiffBlock): Rows {
  let rows = known.get(block);
  if (!rows) known.set(block, (rows = diffRows(block.old?.text ?? null, block.new.text)));
  return rows;
}

export function changes(added: number, removed: number): TemplateResult {
  return html`<span class="sw-changes">
    ${added ? html`<span class="sw-added"><span aria-hidden="true">+${added}</span><span class="sw-hidden">${plural(added, "line")} added</span></span>` : nothing}
    ${removed ? html`<span class="sw-removed"><span aria-hidden="true">−${removed}</span><span class="sw-hidden">${plural(removed, "line")} removed</span></span>` : nothing}
  </span>`;
}

export function diff(ui: RowUi, key: string, block: DiffBlock): TemplateResult {
  const { rows, added, removed } = rowsOf(block);
  const path = ui.relative(block.path);
  const all = ui.isOpen(`${key}.all`, false);
  const clipped = block.new.length > [...block.new.text].length || (block.old && block.old.length > [...block.old.text].length);
  return html`<div class="sw-diff">
    <div class="sw-diff-head">
      ${icon("file")}
      ${ui.openFile
        ? html`<button type="button" class="sw-link" @click=${() => ui.openFile?.(path)}><bdi>${line(path)}</bdi></button>`
        : html`<bdi>${line(path)}</bdi>`}
      ${block.old === null ? html`<span class="sw-tag">new</span>` : nothing}
      ${changes(added, removed)}
    </div>
    <div class="sw-diff-body" tabindex="0" role="group" aria-label="Changes">
      <div class="sw-diff-rows">${(all ? rows : rows.slice(0, ROWS)).map(diffRow)}</div>
      ${rows.length ? nothing : html`<div class="sw-dim sw-pad">No difference in the text.</div>`}
    </div>
    ${!all && rows.length > ROWS
      ? html`<button type="button" class="sw-more" @click=${() => ui.toggle(`${key}.all`, false)}>Show all ${rows.length} lines</button>`
      : nothing}
    ${clipped ? html`<div class="sw-dim sw-pad">Only the start of this change is shown.</div>` : nothing}
  </div>`;
}

const SIGNS: Record<Row["kind"], string> = { add: "+", del: "−", same: "", skip: "⋯" };

function diffRow(row: Row): TemplateResult {
  return html`<div class="sw-row sw-row-${row.kind}"><span class="sw-ln">${row.kind === "del" ? row.old : (row.new ?? "")}</span><span class="sw-sign">${SIGNS[row.kind]}</span><span class="sw-line">${visible(row.text)}</span></div>`;
}

export function picture(ui: RowUi, step: Step, index: number, block: Extract<Block, { type: "image" }>): TemplateResult {
  const url = ui.image(step, index, block.mime);
  return url
    ? html`<img class="sw-picture" src=${url} alt="Image made by the tool" />`
    : html`<div class="sw-dim sw-pad">${spinner()} Image, ${bytes(block.size)}</div>`;
}

const CHANGE = new Map([["created", "+"], ["modified", "~"], ["deleted", "−"]]);

/** A file that a turn changed. */
export function chip(ui: RowUi, path: string, change: string): TemplateResult {
  const content = html`${icon(fileIcon(path, "file"))}<bdi>${line(basename(path), 60)}</bdi><b data-change=${change}>${CHANGE.get(change) ?? ""}</b>`;
  const title = `${line(path)} (${change})`;
  return ui.openFile && change !== "deleted"
    ? html`<button type="button" class="sw-chip" title=${title} @click=${() => ui.openFile?.(ui.relative(path))}>${content}</button>`
    : html`<span class="sw-chip" title=${title}>${content}</span>`;
}
