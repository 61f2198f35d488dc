// What waits for a person: the call in full, and the agent's own answers in its own order.
import { html, nothing, type TemplateResult } from "lit-html";
import { icon, type IconName, spinner, toolIcon } from "../lib/icons.ts";
import type { Option, Permission, Step, Tool } from "../lib/protocol.ts";
import { line, visible } from "../lib/text.ts";
import { details } from "./tool.ts";
import type { Ui } from "./ui.ts";

const VERBS: Record<string, string> = {
  read: "read",
  edit: "change a file",
  delete: "delete",
  move: "move a file",
  search: "search",
  execute: "run a command",
  fetch: "fetch from the network",
};

export function permissions(ui: Ui): TemplateResult | typeof nothing {
  const waiting = ui.client.transcript.pending;
  const [step] = waiting;
  if (!step?.tool?.permission) return nothing;
  return card(ui, step, step.tool, step.tool.permission, waiting.length);
}

function card(ui: Ui, step: Step, tool: Tool, permission: Permission, waiting: number): TemplateResult {
  const chosen = ui.answering.get(permission.request);
  const verb = VERBS[tool.kind] ?? "use a tool";
  return html`<div class="sw-ask" role="group" aria-label="Permission request">
    <div class="sw-ask-head">
      ${icon("shield")}<strong>May the agent ${verb}?</strong>
      ${waiting > 1 ? html`<span class="sw-dim">1 of ${waiting}</span>` : nothing}
    </div>
    <div class="sw-ask-body">
      ${tool.command
        ? html`<pre class="sw-command" tabindex="0" aria-label="Command">${visible(tool.command)}</pre>`
        : html`<div class="sw-ask-title">${icon(toolIcon(tool.kind))}<bdi>${line(tool.title, 1000)}</bdi></div>`}
      ${details(ui, step, { ...tool, command: null, input: tool.command ? null : tool.input }, `ask ${permission.request}`)}
    </div>
    <div class="sw-ask-options">
      ${permission.options.map((option) => button(ui, permission, option, chosen))}
      ${chosen && ui.client.busy
        ? html`<span class="sw-dim">The kernel runs a cell: answer in the cell, or await the turn.</span>`
        : nothing}
    </div>
  </div>`;
}

const SIGNS: Record<string, IconName> = {
  allow_once: "check",
  allow_always: "check",
  reject_once: "cross",
  reject_always: "cross",
};

function button(ui: Ui, permission: Permission, option: Option, chosen: string | undefined): TemplateResult {
  const sign = SIGNS[option.kind];
  return html`<button type="button" class="sw-button" data-kind=${option.kind} ?disabled=${chosen !== undefined}
    data-testid="permission-${option.kind}" @click=${() => ui.answer(permission.request, option.id)}>
    ${chosen === option.id ? spinner() : sign ? icon(sign) : nothing}<bdi>${line(option.name, 80)}</bdi>
  </button>`;
}
