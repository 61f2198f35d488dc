// The whole steps of a run in one column, drawn by the rows of the chat.
import { html, nothing, type TemplateResult } from "lit-html";
import { prose, rest, whole } from "../chat/parts.ts";
import { tool } from "../chat/tool.ts";
import { Ui } from "../chat/ui.ts";
import type { Client } from "../lib/client.ts";
import type { Step } from "../lib/protocol.ts";
import type { Rpc } from "../lib/rpc.ts";
import { line, visible } from "../lib/text.ts";

/** The rows' state of one run: its requests name the run. */
export function runUi(rpc: Rpc, run: number, redraw: () => void): Ui {
  const client = {
    session: undefined,
    cellQuestion: null,
    rpc: { call: (op: string, args: Record<string, unknown>, timeout?: number) => rpc.call(op, { run, ...args }, timeout) },
  };
  return new Ui(client as unknown as Client, redraw);
}

export function wholeStep(ui: Ui, step: Step): TemplateResult | typeof nothing {
  return whole(() => (step.kind === "tool_call" && step.tool ? tool(ui, step, step.tool) : text(ui, step)));
}

function text(ui: Ui, step: Step): TemplateResult | typeof nothing {
  const { body } = step;
  if (!body) {
    const entries = step.entries ?? [];
    return entries.length ? html`<ul class="sw-cmp-plan">${entries.map((entry) => html`<li data-state=${entry.status}>${line(entry.content, 300)}</li>`)}</ul>` : nothing;
  }
  const shown = ui.text(step, "body", body).text;
  const more = rest(ui, step, "body", body);
  switch (step.kind) {
    case "message":
      return html`<div class="sw-message">${prose(ui, shown)}${more}</div>`;
    case "user":
      return html`<div class="sw-cmp-prompt" dir="auto"><span class="sw-hidden">You: </span>${visible(shown)}${more}</div>`;
    case "error":
      return html`<div class="sw-error"><div class="sw-error-text">${visible(shown)}</div></div>`;
    default:
      return html`<details class="sw-cmp-aside"><summary>${step.headline ? line(step.headline, 200) : line(step.kind, 40)}</summary>${prose(ui, shown)}${more}</details>`;
  }
}
