// The frame: divergences on top, then the steps, the figures or the files, in tabs.
import { html, nothing, render, type TemplateResult } from "lit-html";
import { framed } from "../lib/dom.ts";
import { icon, spinner } from "../lib/icons.ts";
import { line, plural } from "../lib/text.ts";
import { figures } from "./figures.ts";
import { Files } from "./files.ts";
import type { Link } from "./link.ts";
import { type Comparison, type Divergence, marksOf, placeOf } from "./model.ts";
import { Steps } from "./steps.ts";

const TABS = [["steps", "Steps"], ["figures", "Figures"], ["files", "Files"]] as const;
type Tab = (typeof TABS)[number][0];

const WORDS = new Map([["action", "Actions"], ["file state", "Files"], ["edit", "Edits"], ["outcome", "Outcomes"]]);

export function mountCompare(parent: HTMLElement, link: Link): () => void {
  const root = document.createElement("div"); // lit removes what stands behind it
  root.className = "sw-cmp-root";
  parent.append(root);
  let tab: Tab = "steps";
  const redraw = framed(draw);
  const steps = new Steps(link, redraw);
  const files = new Files(link, redraw);

  function draw(): void {
    const { comparison } = link;
    render(comparison ? page(comparison) : blank(), root);
    steps.settle();
  }

  function blank(): TemplateResult {
    if (link.state === "gone") return html`<div class="sw-note">The kernel is gone. Run the cell again.</div>`;
    return html`<div class="sw-cmp-blank"><div class="sw-bones"><i></i><i></i><i></i></div></div>`;
  }

  function show(name: Tab): void {
    tab = name;
    redraw();
  }

  function jump(column: number): void {
    tab = "steps";
    steps.jump(column);
  }

  function page(comparison: Comparison): TemplateResult {
    const marks = marksOf(comparison);
    return html`<div class="sw-cmp">
      <div class="sw-head">
        <span class="sw-title">${plural(comparison.runs.length, "run")} side by side</span>
        ${link.state === "gone" ? html`<span class="sw-warn">The kernel is gone</span>` : nothing}
        ${comparison.runs.some((run) => run.running) ? html`<span class="sw-dim sw-cmp-live">${spinner()} running</span>` : nothing}
        <div class="sw-cmp-tabs" role="tablist" aria-label="View" @keydown=${arrows}>
          ${TABS.map(([name, words]) => html`<button type="button" role="tab" class="sw-cmp-tab" data-name=${name}
            aria-selected=${String(tab === name)} tabindex=${tab === name ? "0" : "-1"} @click=${() => show(name)}>${words}</button>`)}
        </div>
        <button type="button" class="sw-ghost" title="Compare again" aria-label="Compare again" @click=${() => link.refresh()}>${icon("refresh")}</button>
      </div>
      ${comparison.problem ? html`<div class="sw-cmp-problem" role="status">${icon("alert")}<span>${line(comparison.problem, 600)}</span></div>` : parts(comparison)}
      ${tab === "steps" ? steps.draw(comparison, marks) : tab === "figures" ? figures(comparison) : files.draw(comparison)}
    </div>`;
  }

  /** Where the runs part: four buttons that lead there. */
  function parts(comparison: Comparison): TemplateResult {
    return html`<div class="sw-cmp-parts" role="group" aria-label="Where the runs part">
      <span class="sw-dim sw-cmp-label" aria-hidden="true">They part</span>
      ${comparison.divergences.map((one, i) => html`<button type="button" class="sw-cmp-part" data-name=${one.name} ?disabled=${one.column === null}
        title="${line(one.detail, 300)}${one.column === null ? "" : ` (key ${i + 1})`}" @click=${() => one.column !== null && jump(one.column)}>
        <span class="sw-cmp-dot" data-name=${one.name}></span><span>${words(one)}</span><span class="sw-dim">${placeOf(one, comparison)}</span>
      </button>`)}
    </div>`;
  }

  function arrows(event: KeyboardEvent): void {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined) return;
    const place = TABS.findIndex(([name]) => name === tab);
    show(TABS[(place + by + TABS.length) % TABS.length]![0]);
    requestAnimationFrame(() => root.querySelector<HTMLElement>('[role="tab"][aria-selected="true"]')?.focus());
    event.preventDefault();
  }

  function keys(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || !link.comparison) return;
    const one = link.comparison.divergences[Number(event.key) - 1];
    if (one && one.column !== null) jump(one.column);
    else if (tab !== "steps" || !steps.key(event.key, link.comparison)) return;
    event.preventDefault();
  }

  root.addEventListener("keydown", keys);
  const unsubscribe = link.subscribe(redraw);
  draw();
  return () => {
    unsubscribe();
    root.removeEventListener("keydown", keys);
    steps.dispose();
    root.remove();
  };
}

export function words(one: Divergence): string {
  return WORDS.get(one.name) ?? line(one.name, 40);
}
