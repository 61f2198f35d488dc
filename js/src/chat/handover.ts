// How the agent regained its memory, and, on demand, the history that it received.
import { html, nothing, type TemplateResult } from "lit-html";
import { guard } from "lit-html/directives/guard.js";
import { stripAnsi } from "../lib/ansi.ts";
import { memoryOf } from "../lib/home.ts";
import { icon, type IconName, spinner } from "../lib/icons.ts";
import type { ToldTool, ToldTurn, Turn } from "../lib/protocol.ts";
import { line, plural, visible } from "../lib/text.ts";
import { chip, whole } from "../rows/parts.ts";
import type { Ui } from "./ui.ts";

export function memory(ui: Ui, turn: Turn): TemplateResult | typeof nothing {
  const words = memoryOf(turn);
  if (!words) return nothing;
  if (!turn.handed_over) return html`<div class="sw-memory" data-tier=${turn.tier}>${icon("memory")}${words}</div>`;
  const key = `${turn.turn} told`;
  const open = ui.isOpen(key, false);
  return html`<div class="sw-memory" data-tier=${turn.tier}>
    <button type="button" class="sw-memory-head" aria-expanded=${String(open)} @click=${() => ui.toggle(key, false)}>
      ${icon("memory")}<span>${words}</span>${icon("chevron", "sw-chevron")}
    </button>
    ${open ? html`<div class="sw-told" aria-live="off">${told(ui, turn.turn)}</div>` : nothing}
  </div>`;
}

function told(ui: Ui, turn: number): unknown {
  const handover = ui.handover(turn);
  if (handover === undefined) {
    return html`<div class="sw-told-wait">${spinner()} ${ui.client.busy ? "The kernel is running a cell; this loads when it ends" : "Asking the kernel"}</div>`;
  }
  if (handover instanceof Error) {
    return html`<div class="sw-told-wait" role="alert">
      ${icon("alert")}<span>${visible(handover.message)}</span>
      <button type="button" class="sw-button" @click=${() => ui.askAgain(turn)}>Try again</button>
    </div>`;
  }
  return guard([handover], () => whole(() => html`
    <div class="sw-told-head">
      The agent received ${plural(handover.turns.length, "earlier turn")}.
      ${handover.earlier ? `${plural(handover.earlier, "more was", "more were")} omitted.` : nothing}
    </div>
    <ol class="sw-told-turns" tabindex="0" aria-label="History sent to the agent">${handover.turns.map((one) => whole(() => toldTurn(ui, one)))}</ol>`));
}

const ENDS = new Map([["cancelled", "Stopped"], ["failed", "Failed"]]);

function toldTurn(ui: Ui, { prompt, answer, ended, tools, earlier_tools, files }: ToldTurn): TemplateResult {
  return html`<li>
    <div class="sw-told-prompt" dir="auto"><span class="sw-hidden">You: </span>${visible(prompt)}</div>
    ${answer ? html`<div class="sw-told-answer" dir="auto"><span class="sw-hidden">Agent: </span>${visible(answer)}</div>` : nothing}
    ${earlier_tools ? html`<div class="sw-dim">${plural(earlier_tools, "earlier tool call was", "earlier tool calls were")} left out.</div>` : nothing}
    ${tools.map(toldTool)}
    ${files.length ? html`<div class="sw-chips">${files.map(({ path, change }) => chip(ui, path, change))}</div>` : nothing}
    ${ended ? html`<div class="sw-dim">${ENDS.get(ended) ?? line(ended, 40)}</div>` : nothing}
  </li>`;
}

const SIGNS = new Map<string, [IconName, string]>([["completed", ["check", "sw-ok"]], ["failed", ["cross", "sw-bad"]]]);

function toldTool({ title, status, result }: ToldTool): TemplateResult {
  const [sign, tone] = SIGNS.get(status) ?? (["stopped", "sw-dim"] as const);
  return html`<div class="sw-told-tool">
    <div class="sw-told-call">${icon(sign, tone)}<span class="sw-hidden">${line(status, 40)}: </span><bdi>${line(title, 200)}</bdi></div>
    ${result ? html`<pre>${visible(stripAnsi(result))}</pre>` : nothing}
  </div>`;
}
