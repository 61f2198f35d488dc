// The whole steps of a run in one column, drawn by the rows of the chat.
import { html, nothing, type TemplateResult } from "lit-html";
import type { Step } from "../lib/protocol.ts";
import type { Rpc } from "../lib/rpc.ts";
import { line, visible } from "../lib/text.ts";
import { prose, rest, whole } from "../rows/parts.ts";
import { tool } from "../rows/tool.ts";
import { RowUi } from "../rows/ui.ts";

/** The rows' state of one run: its requests name the run. */
export function runUi(rpc: Rpc, run: number, redraw: () => void): RowUi {
  return new RowUi({ call: (op, args) => rpc.call(op, { run, ...args }), root: () => "" }, redraw);
}

export function wholeStep(ui: RowUi, step: Step): TemplateResult | typeof nothing {
  return whole(() => (step.kind === "tool_call" && step.tool ? tool(ui, step, step.tool) : text(ui, step)));
}

function text(ui: RowUi, step: Step): TemplateResult | typeof nothing {
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
