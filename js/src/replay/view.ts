// The frame of a replay: time line, controls, the transcript as it was, and what stood beside it.
import { html, nothing, render, type TemplateResult } from "lit-html";
import { guard } from "lit-html/directives/guard.js";
import { element, framed } from "../lib/dom.ts";
import { icon, spinner } from "../lib/icons.ts";
import { clock, count, duration, line } from "../lib/text.ts";
import { VirtualList } from "../rows/list.ts";
import { stepRow } from "../rows/step.ts";
import { RowUi } from "../rows/ui.ts";
import { drawAxis } from "./axis.ts";
import { type Player, SPEEDS } from "./player.ts";
import { side, type Tab, TABS } from "./side.ts";
import type { Unit } from "./timeline.ts";

const UNITS: Unit[] = ["event", "step", "turn"];
const KEYS: [string, string][] = [
  ["Space", "play or pause"], ["← →", "previous or next stop"], ["Shift ← →", "previous or next turn"], ["[ ]", "previous or next mark"],
  ["Home End", "first or last event"], ["+ −", "faster or slower"], ["1 2 3", "by event, step, turn"], ["?", "these keys"],
];
const MARK_WORDS = new Map([["prompt", "Prompts"], ["edit", "Edits"], ["error", "Errors"], ["permission", "Permissions"], ["test", "Test runs"], ["compaction", "Compactions"]]);

export function mountReplay(root: HTMLElement, player: Player): () => void {
  const redraw = framed(draw);
  const source = {
    call: <T>(op: string, args: Record<string, unknown>) => player.rpc.call<T>(op, { seq: player.moment?.seq ?? 0, ...args }),
    root: () => player.replay?.root ?? "",
  };
  const ui = new RowUi(source, redraw, (path) => { tab = "files"; player.open(path); });
  let tab: Tab | "transcript" = "step";
  let help = false;
  let hover: number | undefined;
  let shown = -1;
  let moves = -1;

  const top = element("div", "sw-rep-top", root);
  const body = element("div", "sw-rep-body", root);
  const transcript = element("div", "sw-rep-scroll sw-scroll", body);
  transcript.tabIndex = 0;
  transcript.setAttribute("role", "region");
  transcript.setAttribute("aria-label", "Transcript at this moment");
  const column = element("div", "sw-rep-column", transcript);
  const beside = element("div", "sw-rep-side", body);
  const note = element("div", "sw-rep-note", body);
  const live = element("div", "sw-hidden", root);
  live.setAttribute("role", "status");
  const list = new VirtualList(transcript, { estimate: 44, seen: (first, last) => player.seen(first, last) });
  const early = element("div", "", column);
  column.append(list.element);

  const unsubscribe = player.subscribe(redraw);
  const resized = new ResizeObserver(redraw);
  resized.observe(root);
  const themed = new MutationObserver(() => requestAnimationFrame(() => requestAnimationFrame(redraw))); // JupyterLab hides the page for a frame
  themed.observe(root.closest(".sw") ?? root, { attributes: true, attributeFilter: ["data-theme"] });
  root.addEventListener("keydown", onKey);
  draw();

  function draw(): void {
    const { moment } = player;
    render(head(), top);
    axis();
    body.dataset["tab"] = tab;
    render(moment ? sidePane() : nothing, beside);
    render(moment ? nothing : blank(), note);
    note.hidden = moment !== undefined;
    render(moment?.count === 0 ? html`<div class="sw-rep-nothing">${player.timeline.last > moment.seq ? "No step yet at this moment." : "This session has no steps yet."}</div>` : nothing, early);
    if (!moment) return;
    if (moment.seq !== shown) {
      shown = moment.seq;
      ui.forgetTexts();
      live.textContent = player.playing ? "" : where();
    }
    list.show({
      count: moment.count,
      key: (place) => place,
      draw: (place) => {
        const step = player.rows.get(place);
        return html`<div class="sw-rep-row" ?data-now=${place === moment.place}>${step
          ? guard([step, ui.rev], () => html`<button type="button" class="sw-rep-here" title="Go to this step" tabindex="-1"
              @click=${() => player.go(player.timeline.ends(step.turn, step.index), [step.turn, step.index])}>${step.index}<span class="sw-hidden"> of turn ${step.turn}: go to this step</span></button>${stepRow(ui, step)}`)
          : html`<div class="sw-rep-missing"></div>`}</div>`;
      },
    });
    if (moves !== player.moves && moment.seq === player.seq) {
      moves = player.moves;
      list.reveal(moment.place, moment.place === moment.count - 1 ? "end" : "auto");
      const ran = beside.querySelector(".sw-rep-terminal");
      if (ran) ran.scrollTop = ran.scrollHeight;
    }
  }

  function blank(): TemplateResult {
    if (player.state === "gone") return html`<div class="sw-blank"><p>The kernel is gone. Run the cell again.</p></div>`;
    if (player.replay?.error) return html`<div class="sw-blank"><p class="sw-bad" role="alert">${line(player.replay.error, 600)}</p></div>`;
    if (player.replay && !player.replay.reading && !player.replay.last) return html`<div class="sw-blank"><p>This session has no events yet.</p></div>`;
    return html`<div class="sw-blank" aria-busy="true"><div class="sw-bones"><i></i><i></i><i></i></div><p>Reading the session…</p></div>`;
  }

  function head(): TemplateResult {
    const { replay, timeline } = player;
    const facts = [replay?.harness, replay?.model].filter((one): one is string => Boolean(one)).map((one) => line(one, 60));
    return html`
      <div class="sw-head">
        <span class="sw-title" title=${line(replay?.title ?? "", 300)}>${line(replay?.title ?? "Replay", 200)}</span>
        <span class="sw-dim sw-rep-facts sw-extra">${facts.map((one) => html`<span>${one}</span>`)}</span>
        <span class="sw-rep-spring"></span>
        ${player.state === "gone" ? html`<span class="sw-bad">The kernel is gone</span>` : player.problem ? html`<span class="sw-bad" role="alert" title=${line(player.problem, 400)}>${line(player.problem, 60)}</span>` : nothing}
        ${replay?.reading ? html`<span class="sw-dim sw-rep-reading">${spinner()} reading</span>` : nothing}
        ${replay?.live ? html`<button type="button" class="sw-rep-live" aria-pressed=${String(player.seq === timeline.last)} title="Follow the session" @click=${() => player.go(timeline.last)}><i></i>live</button>` : nothing}
        <span class="sw-rep-where">${where()}</span>
      </div>
      <div class="sw-rep-axis" role="slider" tabindex="0" aria-label="Time line" aria-valuemin="1" aria-valuemax=${timeline.last || 1} aria-valuenow=${player.seq || 1} aria-valuetext=${where()}
        @pointerdown=${grab} @pointermove=${move} @pointerup=${release} @pointerleave=${() => { hover = undefined; redraw(); }}>
        <canvas></canvas>${hover === undefined ? nothing : tip(hover)}
      </div>
      <div class="sw-rep-bar">
        <div class="sw-rep-buttons">
          ${button("first", "First event (Home)", () => player.go(1))}
          ${button("back", `Previous ${player.unit} (←)`, () => player.move(-1))}
          <button type="button" class="sw-rep-play" aria-label=${player.playing ? "Pause" : "Play"} title="${player.playing ? "Pause" : "Play"} (space)" @click=${() => player.toggle()}>${icon(player.playing ? "pause" : "play")}</button>
          ${button("chevron", `Next ${player.unit} (→)`, () => player.move(1))}
          ${button("latest", "Last event (End)", () => player.go(timeline.last))}
        </div>
        <span class="sw-rep-clock" title="Time since the first event; long pauses are left out">${clock(player.head)} / ${clock(timeline.span)}</span>
        <label class="sw-rep-pick"><span class="sw-hidden">Speed</span><select @change=${(event: Event) => { player.speed = Number((event.target as HTMLSelectElement).value); player.changed(); }}>
          ${SPEEDS.map((speed) => html`<option value=${speed} ?selected=${speed === player.speed} .selected=${speed === player.speed}>${speed}×</option>`)}</select></label>
        <div class="sw-rep-units" role="group" aria-label="Step by">${UNITS.map((unit) => html`<button type="button" aria-pressed=${String(unit === player.unit)} @click=${() => { player.unit = unit; player.changed(); }}>${unit}</button>`)}</div>
        <div class="sw-rep-marks" role="group" aria-label="Next of a kind">${timeline.kinds.map(markButton)}</div>
        <button type="button" class="sw-ghost sw-rep-help" aria-label="Keys" title="Keys (?)" aria-expanded=${String(help)} @click=${() => { help = !help; redraw(); }}>${icon("question")}</button>
      </div>
      ${help ? html`<div class="sw-rep-keys" role="note">${KEYS.map(([key, words]) => html`<span><kbd>${key}</kbd> ${words}</span>`)}</div>` : nothing}`;
  }

  function button(name: "first" | "back" | "chevron" | "latest", words: string, act: () => void): TemplateResult {
    return html`<button type="button" class="sw-ghost" title=${words} aria-label=${words} @click=${act}>${icon(name)}</button>`;
  }

  function markButton(kind: string): TemplateResult {
    const found = player.timeline.count(kind);
    const words = MARK_WORDS.get(kind) ?? kind;
    return html`<button type="button" class="sw-rep-mark" data-kind=${kind} aria-pressed=${String(player.kind === kind)} ?disabled=${!found}
      title="Next of ${words.toLowerCase()} (with shift: previous)" @click=${(event: MouseEvent) => player.jump(event.shiftKey ? -1 : 1, kind)}>
      <i></i><span class="sw-rep-mark-words">${words}</span><span class="sw-dim">${count(found)}</span></button>`;
  }

  function where(): string {
    const { moment, timeline } = player;
    if (!moment) return "";
    const step = moment.changed ? ` · step ${moment.changed.turn}/${moment.changed.index}` : "";
    return `event ${moment.seq.toLocaleString("en")} of ${timeline.last.toLocaleString("en")}${step}`;
  }

  function tip(fraction: number): TemplateResult {
    const { timeline } = player;
    const seq = seqUnder(fraction);
    const pause = timeline.pauses.find((one) => one.seconds >= 30 && Math.abs(timeline.fraction(one.seq) - fraction) < 0.006);
    const kinds = [...new Set(timeline.marks.filter((mark) => Math.abs(timeline.fraction(mark.seq) - fraction) < 0.004).map((mark) => mark.kind))];
    return html`<div class="sw-rep-tip" style="left: ${Math.min(88, Math.max(4, fraction * 100))}%">
      <span>${clock(timeline.time(seq))} · event ${seq.toLocaleString("en")}</span>
      ${kinds.length ? html`<span>${kinds.join(", ")}</span>` : nothing}
      ${pause ? html`<span>after a pause of ${duration(pause.seconds * 1000)}</span>` : nothing}</div>`;
  }

  function sidePane(): TemplateResult {
    const { moment } = player;
    if (!moment) return html``;
    const counts: Record<Tab, number> = { step: 0, files: moment.files.length + moment.more_files, terminal: moment.commands.length, plan: moment.plan?.entries?.length ?? 0 };
    return html`<div class="sw-rep-tabs" role="tablist" aria-label="Beside the transcript" @keydown=${arrows}>
        <button type="button" role="tab" class="sw-rep-tab sw-rep-narrow" data-name="transcript" aria-selected=${String(tab === "transcript")} tabindex=${tab === "transcript" ? "0" : "-1"} @click=${() => show("transcript")}>Transcript</button>
        ${TABS.map(([name, words]) => html`<button type="button" role="tab" class="sw-rep-tab" data-name=${name} aria-selected=${String(tab === name)} tabindex=${tab === name ? "0" : "-1"}
          @click=${() => show(name)}>${words}${counts[name] ? html`<span class="sw-dim">${counts[name]}</span>` : nothing}</button>`)}
      </div>
      <div class="sw-rep-pane" role="tabpanel" aria-label=${tab}>${tab === "transcript" ? nothing : side(tab, player, ui, moment)}</div>`;
  }

  function show(name: Tab | "transcript"): void {
    tab = name;
    moves = -1;
    redraw();
  }

  function arrows(event: KeyboardEvent): void {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    event.preventDefault();
    event.stopPropagation();
    const tabs = [...(event.currentTarget as HTMLElement).querySelectorAll<HTMLElement>("[role=tab]")].filter((one) => one.offsetParent);
    const at = tabs.findIndex((one) => one.dataset["name"] === tab);
    const next = tabs[(at + (event.key === "ArrowRight" ? 1 : tabs.length - 1)) % tabs.length];
    next?.click();
    next?.focus();
  }

  function onKey(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, textarea, select")) return;
    const act = actionOf(event, target);
    if (!act) return;
    event.preventDefault();
    act();
  }

  function actionOf(event: KeyboardEvent, target: HTMLElement): (() => void) | undefined {
    switch (event.key) {
      case " ":
        return target.closest("button, summary, a") ? undefined : () => player.toggle();
      case "ArrowLeft":
      case "ArrowRight":
        return () => player.move(event.key === "ArrowRight" ? 1 : -1, event.shiftKey ? "turn" : player.unit);
      case "[":
      case "]":
        return () => void player.jump(event.key === "]" ? 1 : -1);
      case "Home":
        return () => player.go(1);
      case "End":
        return () => player.go(player.timeline.last);
      case "+":
      case "-":
      case "−":
        return () => faster(event.key === "+" ? 1 : -1);
      case "1":
      case "2":
      case "3":
        return () => { player.unit = UNITS[Number(event.key) - 1] ?? "step"; player.changed(); };
      case "?":
        return () => { help = !help; redraw(); };
      case "Escape":
        return help ? () => { help = false; redraw(); } : undefined;
    }
    return undefined;
  }

  function faster(by: 1 | -1): void {
    const at = SPEEDS.indexOf(player.speed) + by;
    player.speed = SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, at))] ?? 1;
    player.changed();
  }

  function fractionOf(event: PointerEvent): number {
    const { left, width } = (event.currentTarget as HTMLElement).getBoundingClientRect();
    return width ? Math.min(1, Math.max(0, (event.clientX - left) / width)) : 0;
  }

  function seqUnder(fraction: number): number {
    return player.timeline.seqAt(fraction * player.timeline.span);
  }

  function grab(event: PointerEvent): void {
    (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    player.pause();
    player.go(seqUnder(fractionOf(event)));
  }

  function move(event: PointerEvent): void {
    hover = fractionOf(event);
    if ((event.currentTarget as HTMLElement).hasPointerCapture(event.pointerId)) player.go(seqUnder(hover));
    redraw();
  }

  function release(event: PointerEvent): void {
    (event.currentTarget as HTMLElement).releasePointerCapture(event.pointerId);
  }

  function axis(): void {
    const canvas = top.querySelector("canvas");
    if (!canvas) return;
    const styles = new Map<string, string>();
    for (const mark of top.querySelectorAll<HTMLElement>(".sw-rep-mark")) styles.set(mark.dataset["kind"] ?? "", getComputedStyle(mark.firstElementChild!).color);
    const of = getComputedStyle(canvas);
    styles.set("bar", of.color).set("line", of.borderTopColor).set("head", of.accentColor === "auto" ? of.color : of.accentColor);
    drawAxis(canvas, player, (name) => styles.get(name) ?? of.color);
  }

  return () => {
    unsubscribe();
    resized.disconnect();
    themed.disconnect();
    ui.dispose();
    list.dispose();
    for (const part of [top, body, live]) part.remove();
  };
}
