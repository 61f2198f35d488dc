// The chat: header, transcript, open requests, composer.
import { html, nothing, render, type TemplateResult } from "lit-html";
import { guard } from "lit-html/directives/guard.js";
import type { Client } from "../lib/client.ts";
import { framed } from "../lib/dom.ts";
import { savedLater, timeLeft } from "../lib/home.ts";
import { icon } from "../lib/icons.ts";
import { plural } from "../lib/text.ts";
import type { Cursor } from "../lib/transcript.ts";
import { VirtualList } from "../rows/list.ts";
import { Marks } from "../rows/marks.ts";
import { whole } from "../rows/parts.ts";
import { stepRow } from "../rows/step.ts";
import type { Composer } from "./composer.ts";
import { Finder } from "./find.ts";
import { memory } from "./handover.ts";
import { ending, header } from "./header.ts";
import { type Line, Lines } from "./lines.ts";
import { permissions } from "./permission.ts";
import { questions } from "./question.ts";
import { activity, footer, outgoing } from "./rows.ts";
import { Ui } from "./ui.ts";

const NEAR = 32;
/** Lines beyond the view that stay in the page: enough to search in, and to hold the place of the view. */
const OVERSCAN = 30;
/** Lines beyond those in the page that are fetched with them. */
const NEARBY = 20;

export function mountChat(root: HTMLElement, client: Client, composer: Composer, openFile?: (path: string) => void): () => void {
  const redraw = framed(draw);
  const ui = new Ui(client, redraw, openFile, (text) => composer.retry(text));
  let following = true;
  let shape = "";
  let seen = 0;
  let filling = false;
  let lines = new Lines(client.transcript, { missing: false, activity: false, outgoing: false });
  /** The first and the last line in the page. */
  let inView: [number, number] = [0, -1];
  /** The step to bring into view once the page holds it. */
  let aim: Cursor | undefined;
  /** The step that a person was led to. */
  let marked = "";
  /** The drawn words of the time that the sandbox has. */
  let remaining = counted();

  const box = document.createElement("div");
  box.className = "sw-chat";
  root.append(box);

  const marks = new Marks();
  const list = new VirtualList(scroller, { estimate: (place) => lines.estimate(place), overscan: OVERSCAN, anchored: true, seen: look, drawn: () => marks.show(box.querySelectorAll("[data-here]"), finder.open ? finder.text : "") });
  const unsubscribe = client.subscribe(() => {
    composer.follow();
    redraw();
  });
  const tick = setInterval(() => (client.transcript.running || counted() !== remaining) && redraw(), 1000);
  const resized = new ResizeObserver(() => {
    fitComposer();
    alignDock();
    if (following) scrollToEnd();
  });
  const finder = new Finder(client, redraw, find, () => (following ? undefined : client.reading?.[0]));
  client.model.on("change:at", go);
  box.addEventListener("keydown", onKey);
  go();
  draw();
  for (const element of box.querySelectorAll(".sw-scroll, .sw-scroll > .sw-column")) resized.observe(element);

  function counted(): string {
    const at = client.session?.deadline;
    return at ? timeLeft(at, client.now()).words : "";
  }

  function scroller(): HTMLElement | null {
    return box.querySelector(".sw-scroll");
  }

  function scrollToEnd(): void {
    const element = scroller();
    if (!element) return;
    element.scrollTop = element.scrollHeight;
    shape = shapeOf(element);
  }

  /** A scroll event at a size that was not drawn yet comes from the browser, not from a person. */
  function onScroll(event: Event): void {
    const element = event.target as HTMLElement;
    const reshaped = shape !== shapeOf(element);
    shape = shapeOf(element);
    if (following && reshaped) return scrollToEnd();
    follow(element);
  }

  /** Follow the end while it is in view. */
  function follow(element: HTMLElement): void {
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR;
    if (atEnd === following) return;
    following = atEnd;
    client.reading = atEnd ? undefined : lines.cursors(...inView);
    seen = client.transcript.count;
    redraw();
  }

  function jump(): void {
    following = true;
    aim = client.reading = undefined;
    redraw();
  }

  function look(first: number, last: number): void {
    inView = [first, last];
    if (!following) client.reading = lines.cursors(first, last);
    void fill();
  }

  /** Fetch the steps in view that the page does not hold, and those nearby with them. */
  async function fill(): Promise<void> {
    if (filling) return;
    filling = true;
    try {
      for (let last = ""; ;) {
        const [first, end] = inView;
        const wanted = lines.missing(first, end) && lines.missing(first - NEARBY, end + NEARBY);
        const key = `${wanted} ${inView}`;
        if (!wanted || key === last) return;
        last = key;
        if (!(await client.fetch(...wanted))) return;
      }
    } catch {
      // the kernel is busy or gone: the next movement asks again
    } finally {
      filling = false;
    }
  }

  /** Go to the step that the kernel names: "turn/index". */
  function go(): void {
    const [turn, index] = String(client.model.get("at") ?? "").split("/").map(Number);
    if (turn === undefined || index === undefined || !Number.isInteger(turn + index)) return;
    aim = [turn, index];
    redraw();
  }

  /** Lead to a step, with its row open; without one, unmark the last one. */
  function find(step: Cursor | undefined): void {
    aim = step;
    if (step) ui.open(step.join("."));
    else marked = "";
  }

  function onKey(event: KeyboardEvent): void {
    if (event.key.toLowerCase() !== "f" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    finder.open = true;
    draw();
    box.querySelector<HTMLInputElement>(".sw-find input")?.select();
  }

  function reach(): void {
    const place = aim ? lines.place(aim) : -1;
    if (!aim || place < 0 || !list.element.isConnected) return;
    if (following) seen = client.transcript.count;
    following = false;
    list.reveal(place, "center");
    if (client.transcript.step(aim)) {
      marked = aim.join("/");
      aim = undefined;
      requestAnimationFrame(() => list.reveal(place, "center")); // the rows around it have their heights now
    }
  }

  function draw(): void {
    render(view(), box);
    remaining = counted();
    drawLines();
    fitComposer();
    alignDock();
    const element = scroller();
    if (!element) return;
    if (ui.unfolded) follow(element);
    ui.unfolded = false;
    reach();
    if (following) scrollToEnd();
  }

  /** The dock is as wide as the scrolled content, without the scrollbar. */
  function alignDock(): void {
    const element = scroller();
    if (element?.clientWidth) box.style.setProperty("--sw-scrollbar", `${element.offsetWidth - element.clientWidth}px`);
  }

  function fitComposer(): void {
    const area = box.querySelector("textarea");
    if (area) fit(area);
  }

  function view(): TemplateResult {
    return html`${header(client)}
      ${client.state === "gap" ? html`<div class="sw-banner" role="status">${icon("alert")}Some updates were lost on the way. Asking for them again.</div>` : nothing}
      ${ending(client)}
      ${finder.view()}
      <div class="sw-scroll" @scroll=${onScroll} tabindex="0" role="log" aria-label="Transcript" aria-live=${following ? "polite" : "off"}
        aria-busy=${String(client.transcript.running !== undefined)}>
        <div class="sw-column">${content()}</div>
      </div>
      <div class="sw-dock">
        ${following ? nothing : pill()}
        <div class="sw-column">
          ${whole(() => permissions(ui))}${transcriptAsks() ? whole(() => questions(ui)) : nothing}
          ${client.state === "gone" ? gone() : client.session?.status === "deleted" ? deleted() : composer.view()}
        </div>
      </div>`;
  }

  /** Questions come after permissions: one card at a time. */
  function transcriptAsks(): boolean {
    return !client.transcript.pending.length && client.transcript.questions.length > 0;
  }

  function content(): TemplateResult {
    const { transcript } = client;
    if (client.state === "connecting" && !transcript.sections.length) return connecting();
    if (!transcript.sections.length && !composer.outgoing) return empty();
    return html`${list.element}`;
  }

  function drawLines(): void {
    const { transcript } = client;
    lines = new Lines(transcript, {
      missing: client.session?.missing != null,
      activity: Boolean(transcript.running?.turn && !transcript.pending.length && !transcript.questions.length),
      outgoing: composer.outgoing !== undefined,
    });
    const now = lines;
    list.show({ count: list.element.isConnected ? now.count : 0, key: (place) => now.key(place), draw: (place) => drawLine(now.at(place)) });
    void fill();
  }

  function drawLine(one: Line): TemplateResult | typeof nothing {
    switch (one.kind) {
      case "step": {
        const here = marked === `${one.step.turn}/${one.step.index}`;
        return html`${guard([one.step, ui.rev, here], () => one.begins
          ? html`<div class="sw-turn" role="group" aria-label="Turn ${one.step.turn}" ?data-here=${here}>${stepRow(ui, one.step)}</div>`
          : here ? html`<div class="sw-here" data-here>${stepRow(ui, one.step)}</div>` : stepRow(ui, one.step))}`;
      }
      case "missing":
        return html`<div class="sw-absent" data-begins=${String(one.begins)} aria-hidden="true"></div>`;
      case "memory":
        return html`${guard([one.turn, ui.rev, client.busy], () => whole(() => memory(ui, one.turn)))}`;
      case "end": {
        const later = savedLater(client.transcript.sections, one.turn);
        return html`${guard([one.turn, ui.rev, later, one.last, one.prompt], () => html`<div class="sw-turn-end">${whole(() => footer(ui, one.turn, later, one.last, one.prompt))}</div>`)}`;
      }
      case "activity":
        return client.transcript.running?.turn ? activity(client.transcript.running.turn, client.activity) : nothing;
      case "outgoing":
        return composer.outgoing ? outgoing(composer.outgoing.text, client.busy) : nothing;
    }
    return nothing;
  }

  function pill(): TemplateResult {
    const news = client.transcript.count - seen;
    return html`<button type="button" class="sw-pill" @click=${jump}>${icon("down")}${news > 0 ? `${plural(news, "new step")}` : "Jump to latest"}</button>`;
  }

  function connecting(): TemplateResult {
    return html`<div class="sw-blank" aria-busy="true">
      <div class="sw-bones"><i></i><i></i><i></i></div>
      <p>${client.busy
        ? "The kernel is running a cell. The transcript loads when it ends."
        : "Connecting to the kernel…"}</p>
    </div>`;
  }

  function empty(): TemplateResult {
    return html`<div class="sw-blank">
      <h2>What should the agent do?</h2>
      <p>It works in its own folder, and you see every step.</p>
      <div class="sw-ideas">${(client.session?.agent.suggestions ?? []).map((idea) => html`<button type="button" @click=${() => pick(idea)}>${idea}</button>`)}</div>
    </div>`;
  }

  function pick(idea: string): void {
    composer.suggest(idea);
    box.querySelector("textarea")?.focus();
  }

  function gone(): TemplateResult {
    return html`<div class="sw-gone" role="alert">
      ${icon("unplug")}
      <div><strong>The kernel is gone</strong>
        <p>Nothing is lost: every step is in the store, and a running turn continues in its sandbox. Restart the kernel and run this cell again to continue.</p>
      </div>
      <button type="button" class="sw-button" @click=${() => client.reconnect()}>Try again</button>
    </div>`;
  }

  function deleted(): TemplateResult {
    return html`<div class="sw-gone" role="status">
      ${icon("delete")}
      <div><strong>This session was deleted</strong>
        <p>Its transcript and its sandbox are gone. This view stays until the cell runs again.</p>
      </div>
    </div>`;
  }

  return () => {
    client.model.off("change:at", go);
    finder.dispose();
    marks.clear();
    unsubscribe();
    clearInterval(tick);
    resized.disconnect();
    list.dispose();
    ui.dispose();
    box.remove();
  };
}

function shapeOf({ clientWidth, clientHeight, scrollHeight }: HTMLElement): string {
  return `${clientWidth} ${clientHeight} ${scrollHeight}`;
}

/** Grow with the text, up to a third of the panel. */
function fit(area: HTMLTextAreaElement): void {
  const state = `${area.clientWidth} ${area.value}`;
  if (area.dataset["fitted"] === state || !area.clientWidth) return;
  area.dataset["fitted"] = state;
  area.style.height = "auto";
  area.style.height = `${Math.min(area.scrollHeight, 180)}px`;
}
