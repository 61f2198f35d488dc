// The frame of a search: what is asked on top, the hits below, and beside them the session of the open hit.
import { html, nothing, render, type TemplateResult } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { element, framed } from "../lib/dom.ts";
import { icon, type IconName, spinner, toolIcon } from "../lib/icons.ts";
import { line, moment, plural, visible } from "../lib/text.ts";
import { mountReplay } from "../replay/view.ts";
import { VirtualList } from "../rows/list.ts";
import { Marks } from "../rows/marks.ts";
import { filters } from "./filters.ts";
import { contextOf, type Line, linesOf } from "./lines.ts";
import type { Asked } from "./protocol.ts";
import { NOTHING, type Results } from "./results.ts";

const KEYS: [string, string][] = [["/", "the text"], ["↑ ↓", "previous or next hit"], ["Enter", "open its step"], ["← →", "fold or unfold a session"], ["Esc", "back"]];
const KINDS = new Map<string, [IconName, string]>([
  ["user", ["send", "Prompt"]], ["message", ["text", "Message"]], ["thought", ["think", "Thought"]], ["plan", ["plan", "Plan"]], ["question", ["question", "Question"]],
  ["compaction", ["memory", "Compaction"]], ["subagent", ["agent", "Subagent"]], ["error", ["alert", "Error"]], ["notice", ["alert", "Notice"]],
]);

export function mountSearch(root: HTMLElement, results: Results): () => void {
  const redraw = framed(draw);
  let lines: Line[] = [];
  /** The key of the line that has the keyboard's focus. */
  let focused = "";
  let wanted = false;
  let unfolded = false;
  let unmount: (() => void) | undefined;
  let mounted: unknown;

  const top = element("div", "sw-search-top", root);
  const body = element("div", "sw-search-body", root);
  const scroller = element("div", "sw-search-scroll sw-scroll", body);
  scroller.setAttribute("role", "tree");
  scroller.setAttribute("aria-label", "Hits");
  const beside = element("div", "sw-search-beside", body);
  const back = element("div", "sw-search-back", beside);
  const replay = element("div", "sw-search-replay", beside);
  const note = element("div", "sw-search-note", body);
  const said = element("div", "sw-hidden", root);
  said.setAttribute("role", "status");
  const list = new VirtualList(scroller, { estimate: 56, seen: settle });

  const marks = new Marks();
  const replayed = new MutationObserver(framed(mark));
  replayed.observe(replay, { childList: true, characterData: true, subtree: true });
  const unsubscribe = results.subscribe(redraw);
  root.addEventListener("keydown", onKey);
  draw();

  function draw(): void {
    const { search } = results;
    render(head(), top);
    lines = linesOf(results.hits, results.folded);
    if (!lines.some((one) => one.key === focused)) focused = (lines.find((one) => one.kind === "hit") ?? lines[0])?.key ?? "";
    body.dataset["open"] = String(results.beside !== undefined);
    scroller.dataset["old"] = String(!results.current);
    scroller.hidden = !lines.length;
    list.show({ count: lines.length, key: (place) => lines[place]?.key ?? place, draw: (place) => drawLine(lines[place]) });
    note.hidden = lines.length > 0;
    render(lines.length ? nothing : blank(), note);
    drawBeside();
    if (search?.state === "over" && !search.error && results.current) said.textContent = results.hits.length ? coverage() : "No hits";
    settle();
  }

  function drawBeside(): void {
    const open = results.beside;
    const player = open?.player;
    if (mounted !== player) {
      unmount?.();
      unmount = player ? mountReplay(replay, player) : undefined;
      mounted = player;
    }
    replay.hidden = !player;
    render(open
      ? html`<button type="button" class="sw-search-close" @click=${close}>${icon("chevron")}Hits</button><span class="sw-search-spring"></span>
          <button type="button" class="sw-ghost" aria-label="Close the session" title="Close (Esc)" @click=${close}>${icon("cross")}</button>
          ${player ? nothing : open.problem
            ? html`<div class="sw-blank"><p class="sw-bad" role="alert">${line(open.problem, 600)}</p></div>`
            : html`<div class="sw-blank" aria-busy="true"><div class="sw-bones"><i></i><i></i><i></i></div><p>Reading the session…</p></div>`}`
      : nothing, back);
  }

  /** Mark the match in the step that is open, in its row and beside it. */
  function mark(): void {
    const hit = results.hits[results.beside?.hit ?? -1];
    marks.show(replay.querySelectorAll(".sw-rep-row[data-now], .sw-rep-step"), hit?.match ?? "");
  }

  function head(): TemplateResult {
    const { asked, search } = results;
    return html`
      <div class="sw-search-query">
        <label class="sw-search-box">${icon("search")}<input type="text" class="sw-search-text" aria-label="Search all sessions for" placeholder="Search all sessions" spellcheck="false" autocomplete="off" autocapitalize="off"
          aria-invalid=${String(Boolean(search?.error))} .value=${live(asked.text)} @input=${(event: Event) => ask({ text: (event.target as HTMLInputElement).value }, true)} /></label>
        ${toggle("Aa", "Distinguish upper and lower case", asked.case, () => ask({ case: !asked.case }))}
        ${toggle(".*", "Regular expression, in RE2's syntax", asked.regex, () => ask({ regex: !asked.regex }))}
        <button type="button" class="sw-search-toggle sw-search-unfold" aria-expanded=${String(unfolded)} aria-label="Filters" title="Filters" @click=${() => { unfolded = !unfolded; redraw(); }}>${icon("filter")}${results.filters || nothing}</button>
      </div>
      <div class="sw-search-fold" ?data-open=${unfolded}>${filters(results)}</div>
      ${status()}`;
  }

  function ask(change: Partial<Asked>, soon = false): void {
    if (closer()) results.close();
    results.ask(change, soon);
  }

  /** The button that leads back to the hits, if the session is in their place. */
  function closer(): HTMLElement | undefined {
    const button = back.querySelector<HTMLElement>(".sw-search-close");
    return button?.offsetParent ? button : undefined;
  }

  function toggle(words: string, title: string, on: boolean, act: () => void): TemplateResult {
    return html`<button type="button" class="sw-search-toggle" aria-pressed=${String(on)} title=${title} aria-label=${title} @click=${act}>${words}</button>`;
  }

  function status(): TemplateResult {
    const { search } = results;
    const problem = results.problem ?? search?.error;
    if (results.state === "gone") return bar("bad", html`${icon("unplug")}The kernel is gone. Run the cell again.`);
    if (problem && !results.running) return bar("bad", html`${icon("alert")}<span dir="auto">${line(problem.slice(0, 1).toUpperCase() + problem.slice(1), 500)}</span>`);
    if (results.running) {
      const done = search?.state === "running" ? search.done : 0;
      return html`<div class="sw-search-status" data-tone="running">${spinner()}<span>Searching${results.current && results.hits.length ? `, ${plural(results.hits.length, "hit")} so far` : "…"}</span>
        <progress class="sw-search-progress" aria-label="Searched part of the steps" max="1" value=${done}></progress>
        <button type="button" class="sw-button" title="Stop; the hits so far stay" @click=${() => results.stop()}>${icon("stop")}Stop</button></div>`;
    }
    if (search?.state !== "over" || !results.current) return html``;
    const { reason, more } = search;
    if (reason === null) return bar("complete", html`${icon("check")}<span>${coverage()}</span>`);
    return bar("part", html`${icon("alert")}<span><b>Not complete:</b> ${line(reasonWords(), 300)}</span>
      ${more ? html`<button type="button" class="sw-button" @click=${() => void results.more()}>${more === "limit" ? "Find more" : more === "time" ? "Search longer" : "Search again"}</button>` : nothing}`);
  }

  function bar(tone: string, content: TemplateResult): TemplateResult {
    return html`<div class="sw-search-status" data-tone=${tone} role=${tone === "bad" ? "alert" : nothing}>${content}</div>`;
  }

  function reasonWords(): string {
    const { search, hits } = results;
    if (search?.more === "limit") return `the newest ${plural(hits.length, "hit")}; there may be more.`;
    if (search?.more === "time") return `${plural(hits.length, "hit")} in ${search.seconds.toFixed(1)} s; older steps were not searched.`;
    return `${plural(hits.length, "hit")}; ${search?.reason ?? ""}`;
  }

  function coverage(): string {
    const { search, hits } = results;
    if (!search || search.reason !== null) return reasonWords();
    const sessions = new Set(hits.map((hit) => hit.session)).size;
    const found = hits.length ? `${plural(hits.length, "hit")} in ${plural(sessions, "session")}` : "No hits";
    return `${found}. All ${plural(search.steps, "step")} searched, ${search.seconds.toFixed(1)} s.`;
  }

  function blank(): TemplateResult {
    const { asked, choices, search } = results;
    if (results.state === "connecting") return html`<div class="sw-blank" aria-busy="true"><div class="sw-bones"><i></i><i></i><i></i></div></div>`;
    if (results.running) return html`<div class="sw-blank" aria-busy="true"><div class="sw-bones"><i></i><i></i><i></i></div></div>`;
    if (choices?.sessions === 0) return html`<div class="sw-blank"><h2>The store has no session yet</h2><p>Run an agent, or import the logs of one: <code>sw.store().import_("~/.claude/projects")</code></p></div>`;
    if (!asked.text.trim() || search?.state === "idle") {
      return html`<div class="sw-blank"><h2>Search everything that agents said and tools printed</h2>
        ${choices ? html`<p>${plural(choices.steps, "step")} of ${plural(choices.sessions, "session")}, live and imported.</p>` : nothing}${keys()}</div>`;
    }
    if (results.problem ?? search?.error) return html`<div class="sw-blank"><p>Nothing was searched.</p></div>`;
    return html`<div class="sw-blank"><h2>No hits for “${line(asked.text, 80)}”</h2>
      ${search?.reason ? html`<p>Not everything was searched.</p>` : nothing}
      ${results.filters ? html`<button type="button" class="sw-button" @click=${() => results.ask({ ...NOTHING, text: asked.text, regex: asked.regex })}>Search without filters</button>`
        : asked.case || asked.regex ? html`<button type="button" class="sw-button" @click=${() => results.ask({ case: false, regex: false })}>Search for the plain text</button>` : nothing}</div>`;
  }

  function keys(): TemplateResult {
    return html`<div class="sw-search-keys">${KEYS.map(([key, words]) => html`<span><kbd>${key}</kbd> ${words}</span>`)}</div>`;
  }

  function drawLine(one: Line | undefined): TemplateResult | typeof nothing {
    if (!one) return nothing;
    const tabindex = one.key === focused ? "0" : "-1";
    if (one.kind === "session") {
      const hit = results.hits[one.first];
      const title = results.titles.get(one.session);
      const facts = [title ? line(one.session, 20) : null, hit?.harness, hit?.model].filter((fact): fact is string => Boolean(fact));
      return html`<div class="sw-search-session ${one.open ? "sw-open" : ""}" role="treeitem" aria-level="1" aria-expanded=${String(one.open)} data-key=${one.key} tabindex=${tabindex}
        @click=${() => { focused = one.key; results.fold(one.session); }}>${icon("chevron", "sw-chevron")}<bdi class="sw-search-title" title=${line(one.session, 200)}>${line(title ?? one.session, 160)}</bdi>
        <span class="sw-dim sw-search-facts">${facts.map((fact) => line(fact, 40)).join(" · ")}</span><span class="sw-search-count" aria-label=${plural(one.hits, "hit")}>${one.hits}</span></div>`;
    }
    const hit = results.hits[one.hit];
    if (!hit) return nothing;
    const [before, match, after] = contextOf(hit);
    const [sign, words] = hit.kind === "tool_call" ? [toolIcon(hit.tool ?? "other"), hit.title ?? hit.tool ?? "Tool call"] : (KINDS.get(hit.kind) ?? (["text", hit.kind] as const));
    return html`<div class="sw-search-hit" role="treeitem" aria-level="2" aria-selected=${String(results.beside?.hit === one.hit)} data-key=${one.key} tabindex=${tabindex} @click=${() => { focused = one.key; open(one.hit); }}>
      <div class="sw-search-where">${icon(sign)}<bdi class=${hit.tool === "execute" ? "sw-mono" : ""} title=${line(words, 300)}>${line(words, 160)}</bdi>
        <span class="sw-dim">${hit.kind === "tool_call" ? hit.field : ""}</span><span class="sw-search-spring"></span><span class="sw-dim sw-search-at" title="Step ${hit.turn}/${hit.step}, ${moment(hit.at)}">${day(hit.at)}</span></div>
      <div class="sw-search-context" dir="auto">${visible(before)}<mark>${visible(match)}</mark>${visible(after)}</div></div>`;
  }

  function open(hit: number): void {
    wanted = true;
    void results.open(hit);
  }

  function close(): void {
    wanted = true;
    results.close();
  }

  /** Bring the line with the keyboard's focus into view, and give it the focus; or the way back, if it is covered. */
  function settle(): void {
    if (!wanted) return;
    const way = closer();
    if (way) {
      wanted = false;
      way.focus();
      return;
    }
    const row = scroller.querySelector<HTMLElement>('[tabindex="0"]');
    if (!row) {
      list.reveal(lines.findIndex((one) => one.key === focused), "center");
      return;
    }
    wanted = false;
    row.focus({ preventScroll: true });
    const [box, here] = [scroller.getBoundingClientRect(), row.getBoundingClientRect()];
    if (here.top < box.top) scroller.scrollTop += here.top - box.top - 4;
    else if (here.bottom > box.bottom) scroller.scrollTop += here.bottom - box.bottom + 4;
  }

  function to(place: number): void {
    const one = lines[Math.min(lines.length - 1, Math.max(0, place))];
    if (!one) return;
    focused = one.key;
    wanted = true;
    redraw();
  }

  function onKey(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const act = actionOf(event.key, target);
    if (!act) return;
    event.preventDefault();
    act();
  }

  function actionOf(key: string, target: HTMLElement): (() => void) | undefined {
    const typing = target.closest("input, select, textarea");
    if (key === "Escape" && results.beside) return close;
    if (key === "/" && !typing) return () => field()?.select();
    if (target === field()) {
      if (key === "ArrowDown") return () => to(lines.findIndex((one) => one.key === focused));
      if (key === "Enter") return () => results.ask({});
      if (key === "Escape" && results.asked.text) return () => results.ask({ text: "" });
      return undefined;
    }
    return scroller.contains(target) ? onLine(key) : undefined;
  }

  function onLine(key: string): (() => void) | undefined {
    const place = lines.findIndex((one) => one.key === focused);
    const here = lines[place];
    if (!here) return undefined;
    switch (key) {
      case "ArrowDown":
        return () => to(place + 1);
      case "ArrowUp":
        return place === 0 ? () => field()?.focus() : () => to(place - 1);
      case "Home":
        return () => to(0);
      case "End":
        return () => to(lines.length - 1);
      case "PageDown":
      case "PageUp":
        return () => to(place + (key === "PageDown" ? 8 : -8));
      case "Enter":
      case " ":
        return here.kind === "hit" ? () => open(here.hit) : () => { wanted = true; results.fold(here.session); };
      case "ArrowRight":
        if (here.kind === "session") return here.open ? () => to(place + 1) : () => { wanted = true; results.fold(here.session); };
        return () => open(here.hit);
      case "ArrowLeft":
        if (here.kind === "session") return here.open ? () => { wanted = true; results.fold(here.session); } : undefined;
        return () => to(lines.findLastIndex((one, i) => i < place && one.kind === "session"));
      case "Escape":
        return () => field()?.focus();
    }
    return undefined;
  }

  function field(): HTMLInputElement | null {
    return top.querySelector<HTMLInputElement>(".sw-search-text");
  }

  return () => {
    unsubscribe();
    replayed.disconnect();
    marks.clear();
    unmount?.();
    list.dispose();
    root.removeEventListener("keydown", onKey);
    for (const one of [top, body, said]) one.remove();
  };
}

/** A day, or the time of day today. */
function day(millis: number): string {
  const date = new Date(millis);
  const today = new Date();
  if (date.toDateString() === today.toDateString()) return date.toLocaleTimeString(undefined, { timeStyle: "short" });
  return date.toLocaleDateString(undefined, date.getFullYear() === today.getFullYear() ? { day: "numeric", month: "short" } : { dateStyle: "medium" });
}
