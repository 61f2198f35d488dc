// The files at the ends of the runs: which differ, and how.
import { html, nothing, type TemplateResult } from "lit-html";
import { diffRows, type Row } from "../lib/diff.ts";
import { fileIcon, icon, spinner } from "../lib/icons.ts";
import type { Text } from "../lib/protocol.ts";
import { basename, bytes, line, plural, visible } from "../lib/text.ts";
import type { Link } from "./link.ts";
import type { Comparison, FilesRow, FinalFile } from "./model.ts";

const ROWS = 400;
const SOURCES = { snapshot: "kept files", edits: "its edits", "": "missing" };
const SIGNS: Record<Row["kind"], string> = { add: "+", del: "−", same: "", skip: "⋯" };

export class Files {
  private open: { file: number; run: number } | undefined;

  constructor(private link: Link, private redraw: () => void) {}

  draw(comparison: Comparison): TemplateResult {
    const files = this.link.finalFiles();
    if (files instanceof Error) return html`<div class="sw-note">${line(files.message, 400)}</div>`;
    if (!files) return html`<div class="sw-note">${spinner()} Reading the files</div>`;
    if (!files.rows.length) return html`<div class="sw-note">No run changed a file, as far as the transcripts tell.</div>`;
    const differ = files.rows.filter((row) => !row.same).length;
    return html`<div class="sw-cmp-scroll" tabindex="0" role="region" aria-label="Files at the end">
      <table class="sw-cmp-files">
        <thead><tr><th scope="col">${differ ? `${plural(differ, "file differs", "files differ")}` : "All changed files are equal"}</th>
          ${comparison.runs.map((run, i) => html`<th scope="col"><bdi class="sw-cmp-two">${line(run.title ?? run.id, 60)}</bdi><div class="sw-dim">${SOURCES[files.sources[i] ?? ""]}</div></th>`)}</tr></thead>
        <tbody>${files.rows.map((row) => this.row(comparison, row))}</tbody>
      </table>
      ${files.more ? html`<div class="sw-dim sw-pad">and ${plural(files.more, "more file")}</div>` : nothing}
    </div>`;
  }

  private row(comparison: Comparison, row: FilesRow): TemplateResult {
    const chosen = this.open?.file === row.file ? this.open.run : undefined;
    return html`<tr data-same=${String(row.same)}>
        <th scope="row"><span class="sw-cmp-path">${icon(fileIcon(basename(row.path), "file"))}<bdi title=${line(row.path)}>${line(row.path, 200)}</bdi></span></th>
        ${row.cells.map((cell, run) => html`<td>${cell ? this.cell(row, cell, run, chosen) : nothing}</td>`)}
      </tr>
      ${chosen === undefined ? nothing : html`<tr><td colspan=${row.cells.length + 1} class="sw-cmp-diff">${this.diff(comparison, row, chosen)}</td></tr>`}`;
  }

  private cell(row: FilesRow, cell: FinalFile, run: number, chosen: number | undefined): TemplateResult {
    if (cell.state === "absent") return html`<span class="sw-dim" title="Not there">–</span>`;
    if (cell.state === "unknown") return html`<span class="sw-dim" title="Changed; the transcript does not have its whole text">changed</span>`;
    const letter = String.fromCharCode(65 + (cell.group ?? 0));
    return html`<button type="button" class="sw-cmp-content" data-group=${cell.group ?? 0} aria-expanded=${String(chosen === run)}
      title="Content ${letter}: runs with the same letter have the same content" @click=${() => this.toggle(row.file, run)}>
      <b>${letter}</b> <span class="sw-dim">${bytes(cell.size ?? 0)}</span>${icon("chevron", "sw-chevron")}</button>`;
  }

  private toggle(file: number, run: number): void {
    this.open = this.open?.file === file && this.open.run === run ? undefined : { file, run };
    this.redraw();
  }

  /** A file of a run, as a change of the same file of the first run that has another content, or alone. */
  private diff(comparison: Comparison, row: FilesRow, run: number): TemplateResult {
    const texts = this.link.fileTexts(row.file);
    if (texts instanceof Error) return html`<div class="sw-pad sw-dim">${line(texts.message, 400)}</div>`;
    if (!texts) return html`<div class="sw-pad sw-dim">${spinner()} Reading</div>`;
    const group = row.cells[run]?.group;
    const other = texts.findIndex((text, i) => text !== null && i !== run && row.cells[i]?.group !== group);
    const [before, after] = [texts[other] ?? null, texts[run] ?? null];
    if (!after) return html`<div class="sw-pad sw-dim">This is no text.</div>`;
    const name = (i: number) => html`<bdi>${line(comparison.runs[i]?.id ?? "", 60)}</bdi>`;
    const rows = before ? diffRows(before.text, after.text).rows : alone(after.text);
    return html`<div class="sw-diff">
      <div class="sw-diff-head">${other < 0 ? name(run) : html`${name(other)} → ${name(run)}`}</div>
      <div class="sw-diff-body" tabindex="0" role="group" aria-label="Differences"><div class="sw-diff-rows">${rows.slice(0, ROWS).map(diffRow)}</div></div>
      ${rows.length > ROWS ? html`<div class="sw-dim sw-pad">and ${plural(rows.length - ROWS, "more line")}</div>` : nothing}
      ${[before, after].some(clipped) ? html`<div class="sw-dim sw-pad">Only the start of the file is compared.</div>` : nothing}
    </div>`;
  }
}

/** A text that is compared with none. */
function alone(text: string): Row[] {
  return text.replace(/\n$/, "").split("\n").map((line, i): Row => ({ kind: "same", old: i + 1, new: i + 1, text: line }));
}

function clipped(text: Text | null): boolean {
  return text !== null && text.length > [...text.text].length;
}

function diffRow(row: Row): TemplateResult {
  return html`<div class="sw-row sw-row-${row.kind}"><span class="sw-ln">${row.kind === "del" ? row.old : (row.new ?? "")}</span><span class="sw-sign">${SIGNS[row.kind]}</span><span class="sw-line">${visible(row.text)}</span></div>`;
}
