// The aligned steps: a line a column, equal stretches folded, divergences marked, the whole steps of an opened column.
import { html, nothing, render, type TemplateResult } from "lit-html";
import { icon, spinner, toolIcon } from "../lib/icons.ts";
import { line, plural } from "../lib/text.ts";
import type { Link } from "./link.ts";
import { type Cell, type Cells, type Comparison, type Divergence, type Line, lineOf, linesOf, marksOf, nextMark, type Run } from "./model.ts";
import { VirtualList } from "../rows/list.ts";
import { RunUi } from "./whole.ts";

const SIGNS: Record<string, string> = { "=": "equal in all runs", "~": "alike", "!": "different" };
const SAID = new Map([["user", "You"], ["message", "Agent"], ["error", "Error"], ["subagent", "Subagent"], ["compaction", "Summary"]]);

type Marks = Map<number, Divergence[]>;

export class Steps {
  private readonly scroller = document.createElement("div");
  private readonly heads = document.createElement("div");
  private readonly list: VirtualList;
  private folds = new Set<number>();
  private opened: number | undefined;
  private focused = 0;
  /** A column to scroll to once it is drawn; with the keyboard's focus. */
  private wanted: number | undefined;
  /** The list is scrolling to it. */
  private revealing = false;
  /** The focus is the list's: a line that leaves the page loses it, and has it again when it comes back. */
  private held = false;
  /** The steps that were opened are to be brought into view once they have arrived. */
  private lifting = false;
  private lines: Line[] = [];
  private n = 0;
  private uis: RunUi[] = [];

  constructor(private link: Link, private redraw: () => void) {
    this.scroller.className = "sw-cmp-scroll sw-cmp-steps";
    this.scroller.setAttribute("role", "treegrid");
    this.scroller.setAttribute("aria-label", "Aligned steps");
    this.scroller.tabIndex = 0; // the line with the focus may be out of view
    this.scroller.addEventListener("focusout", ({ relatedTarget }) => {
      if (relatedTarget) this.held = this.scroller.contains(relatedTarget as Node);
    });
    this.scroller.append(this.heads);
    this.list = new VirtualList(this.scroller, { estimate: 30, seen: () => this.settle() });
  }

  dispose(): void {
    this.list.dispose();
    for (const ui of this.uis) ui.dispose();
  }

  jump(column: number): void {
    this.focused = this.wanted = column;
    this.held = true;
    this.redraw();
  }

  draw(comparison: Comparison, marks: Marks): HTMLElement {
    if (this.n !== this.link.n) {
      this.n = this.link.n;
      for (const ui of this.uis.splice(0)) ui.dispose();
      this.focused = Math.min(this.focused, comparison.signs.length);
    }
    this.lines = comparison.problem ? [] : linesOf(comparison.signs, marks, this.folds);
    const focused = this.lines[lineOf(this.lines, this.focused)];
    this.scroller.style.setProperty("--runs", String(comparison.runs.length));
    this.scroller.setAttribute("aria-rowcount", String(this.lines.length + 1));
    this.scroller.setAttribute("aria-colcount", String(comparison.runs.length + 1));
    render(html`<div class="sw-cmp-line" role="row"><span class="sw-cmp-gutter" role="columnheader"><span class="sw-hidden">Step</span></span>
      ${comparison.runs.map(head)}</div>`, this.heads);
    this.heads.className = "sw-cmp-heads";
    this.list.show({
      count: this.lines.length,
      key: (place) => keyOf(this.lines[place]!),
      draw: (place) => this.line(comparison, marks, this.lines[place]!, this.lines[place] === focused),
    });
    return this.scroller;
  }

  /** After a drawing: scroll to the wanted column, with the focus, or to the steps that were opened. */
  settle(): void {
    const { scroller } = this;
    if (!scroller.isConnected) return;
    const row = scroller.querySelector<HTMLElement>('.sw-cmp-line[tabindex="0"]');
    if (!row) {
      if (this.wanted === undefined) return;
      this.revealing = true;
      this.list.reveal(lineOf(this.lines, this.wanted), "center");
      return;
    }
    const box = scroller.getBoundingClientRect();
    const top = box.top + this.heads.offsetHeight;
    const here = row.getBoundingClientRect();
    if (this.wanted !== undefined) {
      this.wanted = undefined;
      row.focus({ preventScroll: true });
      if (!this.revealing && (here.top < top || here.bottom > box.bottom)) scroller.scrollTop += here.top - top - Math.max(0, (box.bottom - top - here.height) / 3);
      this.revealing = false;
    } else if (this.held && document.activeElement === document.body) {
      row.focus({ preventScroll: true });
    }
    if (this.lifting && this.opened !== undefined && this.link.details(this.opened)) {
      this.lifting = false;
      const bottom = row.nextElementSibling?.getBoundingClientRect().bottom ?? here.bottom;
      if (bottom > box.bottom) scroller.scrollTop += Math.min(here.top - top, bottom - box.bottom);
    }
  }

  /** Whether a key meant something. */
  key(key: string, comparison: Comparison): boolean {
    const marks = marksOf(comparison);
    const place = lineOf(this.lines, this.focused);
    const here = this.lines[place];
    if (!here) return false;
    const to = (one: Line | undefined) => one && this.jump(one.kind === "fold" ? one.first : one.column);
    switch (key) {
      case "ArrowDown":
      case "j":
        to(this.lines[place + 1]);
        return true;
      case "ArrowUp":
      case "k":
        to(this.lines[place - 1]);
        return true;
      case "Home":
        to(this.lines[0]);
        return true;
      case "End":
        to(this.lines.at(-1));
        return true;
      case "n":
      case "p": {
        const column = nextMark(marks, this.focused, key === "n" ? 1 : -1);
        if (column !== undefined) this.jump(column);
        return true;
      }
      case "Escape":
        if (this.opened === undefined) return false;
        this.jump(this.opened);
        this.opened = undefined;
        return true;
      default:
        return false;
    }
  }

  private line(comparison: Comparison, marks: Marks, one: Line, focused: boolean): TemplateResult {
    if (one.kind === "fold") return this.fold(one, focused);
    const { column } = one;
    const end = one.kind === "end";
    const cells = end ? this.link.ends() : this.link.column(column);
    const sign = end ? "end" : comparison.signs[column]!;
    const here = marks.get(column) ?? [];
    const open = this.opened === column;
    const toggle = () => {
      this.focused = column;
      this.opened = open ? undefined : column;
      this.lifting = !open;
      this.redraw();
    };
    return html`
      ${here.map((mark) => html`<div role="row" data-name=${mark.name}><div class="sw-cmp-mark" role="gridcell"><span class="sw-cmp-dot" data-name=${mark.name}></span>
        <b>${MARKS.get(mark.name) ?? line(mark.name, 40)}</b><span>${line(mark.detail, 300)}</span></div></div>`)}
      <div class="sw-cmp-line" role="row" data-sign=${sign} data-column=${column} tabindex=${focused ? "0" : "-1"} aria-expanded=${String(open)}
        @click=${toggle} @keydown=${(event: KeyboardEvent) => pressed(event, toggle)}>
        <span class="sw-cmp-gutter" role="rowheader" title=${end ? "The end" : `Step ${column + 1}: ${SIGNS[sign] ?? ""}`}>${end ? "end" : column + 1}</span>
        ${comparison.runs.map((run, i) => this.cell(run, cells, i, end))}
      </div>
      ${open ? this.details(comparison, column) : nothing}`;
  }

  private fold({ first, last, open }: Extract<Line, { kind: "fold" }>, focused: boolean): TemplateResult {
    const toggle = () => {
      this.focused = first;
      if (!this.folds.delete(first)) this.folds.add(first);
      this.redraw();
    };
    return html`<div class="sw-cmp-line sw-cmp-fold ${open ? "sw-open" : ""}" role="row" tabindex=${focused ? "0" : "-1"} aria-expanded=${String(open)}
      data-column=${first} @click=${toggle} @keydown=${(event: KeyboardEvent) => pressed(event, toggle)}>
      <span class="sw-cmp-gutter" role="rowheader">${first + 1}–${last + 1}</span>
      <span class="sw-cmp-equal" role="gridcell">${icon("chevron", "sw-chevron")}${plural(last - first + 1, "equal step")}</span>
    </div>`;
  }

  private cell(run: Run, cells: Cells | undefined, i: number, end: boolean): TemplateResult {
    if (run.missing) return html`<span class="sw-cmp-cell sw-cmp-none" role="gridcell"></span>`;
    if (!cells) return html`<span class="sw-cmp-cell" role="gridcell"><span class="sw-bones"><i></i></span></span>`;
    const cell = cells[i];
    if (!cell) return html`<span class="sw-cmp-cell sw-cmp-none" role="gridcell"><span class="sw-hidden">no step</span></span>`;
    return html`<span class="sw-cmp-cell" role="gridcell">
      ${cell.said ? html`<span class="sw-cmp-said" data-kind=${cell.said_kind} dir="auto"><span class="sw-dim">${SAID.get(cell.said_kind) ?? ""}</span> ${line(cell.said)}</span>` : nothing}
      ${end ? ending(cell) : action(cell)}
    </span>`;
  }

  private ui(run: number): RunUi {
    return (this.uis[run] ??= new RunUi(this.link.rpc, run, this.link.comparison?.runs[run]?.root ?? "", this.redraw));
  }

  private details(comparison: Comparison, column: number): TemplateResult {
    const found = this.link.details(column);
    if (found instanceof Error) return html`<div class="sw-cmp-details sw-dim">${line(found.message, 400)}</div>`;
    return html`<div class="sw-cmp-line sw-cmp-details" role="row"><span class="sw-cmp-gutter" role="rowheader"></span>
      ${comparison.runs.map((_, i) => html`<div class="sw-cmp-cell" role="gridcell">${found ? nothing : spinner()}
        ${found?.[i]?.map((step) => this.ui(i).row(step))}</div>`)}
    </div>`;
  }
}

function keyOf(one: Line): string {
  return one.kind === "fold" ? `fold ${one.first}` : `${one.kind} ${one.column}`;
}

const MARKS = new Map([
  ["action", "The actions part here"],
  ["file state", "The files part here"],
  ["edit", "The edits part here"],
  ["outcome", "The outcomes differ"],
]);

function pressed(event: KeyboardEvent, toggle: () => void): void {
  if (event.target !== event.currentTarget || (event.key !== "Enter" && event.key !== " ")) return;
  event.preventDefault();
  toggle();
}

function head(run: Run): TemplateResult {
  const about = [run.title ? line(run.id, 14) : null, run.harness, run.model, run.origin === "live" ? null : run.origin, run.deleted ? "deleted" : null].filter(Boolean).join(" · ");
  return html`<span class="sw-cmp-cell" role="columnheader">
    <bdi class="sw-cmp-name" title=${line(run.id, 200)}>${line(run.title ?? run.id, 100)}</bdi>
    <span class="sw-dim sw-cmp-about">${run.missing ? html`<span class="sw-warn">not in the store</span>` : line(about, 120)}</span>
  </span>`;
}

function action(cell: Cell): TemplateResult {
  return html`<span class="sw-cmp-action" data-failed=${String(cell.failed)}>${icon(toolIcon(cell.kind))}
    <bdi class=${cell.kind === "execute" ? "sw-mono" : ""} title=${line(cell.title)}>${line(cell.title)}</bdi>
    ${cell.failed ? html`<span class="sw-bad sw-state"><span class="sw-hidden">failed</span>${icon("cross")}</span>` : nothing}</span>`;
}

function ending(cell: Cell): TemplateResult {
  const good = cell.title === "completed";
  return html`<span class="sw-cmp-action">${icon(good ? "check" : "stopped", good ? "sw-ok" : "sw-warn")}<b>${line(cell.title.replaceAll("_", " "), 80)}</b></span>`;
}
