// A permission request: the whole call, and the agent's options in the agent's order.
import { html, nothing, type TemplateResult } from "lit-html";
import { keyed } from "lit-html/directives/keyed.js";
import { cellField } from "../lib/cell.ts";
import { icon, type IconName, spinner, toolIcon } from "../lib/icons.ts";
import type { Option, Permission, Step, Text, Tool } from "../lib/protocol.ts";
import { line, visible } from "../lib/text.ts";
import { rest } from "../rows/parts.ts";
import { details } from "../rows/tool.ts";
import type { Ui } from "./ui.ts";

const VERBS = new Map([
  ["read", "read"],
  ["edit", "change a file"],
  ["delete", "delete"],
  ["move", "move a file"],
  ["search", "search"],
  ["execute", "run a command"],
  ["fetch", "fetch from the network"],
]);

export function permissions(ui: Ui): TemplateResult | typeof nothing {
  const waiting = ui.client.transcript.pending;
  const [step] = waiting;
  if (!step?.tool?.permission) return nothing;
  const { tool } = step;
  const { request } = step.tool.permission;
  // new elements for each request: a button pressed for the previous request receives no click
  return html`${keyed(request, card(ui, step, tool, step.tool.permission, waiting.length))}`;
}

function card(ui: Ui, step: Step, tool: Tool, permission: Permission, waiting: number): TemplateResult {
  const chosen = ui.answering.get(permission.request);
  const content = drawn(ui, step, tool);
  const options = content ? permission.options : permission.options.filter((option) => option.kind.startsWith("reject"));
  const armed = ui.arming.armed(tool);
  return html`<div class="sw-ask" role="group" aria-label="Permission request">
    <div class="sw-ask-head">
      ${icon("shield")}<strong>May the agent ${verb(tool)}?</strong>
      ${waiting > 1 ? html`<span class="sw-dim">1 of ${waiting}</span>` : nothing}
    </div>
    <div class="sw-ask-body">
      ${content ?? html`<div class="sw-ask-title sw-bad" role="alert">${icon("alert")}What it would do cannot be shown, so it can only be rejected here.</div>`}
    </div>
    <div class="sw-ask-options">
      ${options.map((option) => button(ui, permission, option, chosen, armed))}
      ${where(ui, permission.request, chosen)}
    </div>
  </div>`;
}

/** The content of the call takes precedence over the agent's `kind`. */
function verb({ command, blocks, kind }: Tool): string {
  if (command) return "run a command";
  if (blocks.some((block) => block.type === "diff")) return "change a file";
  return VERBS.get(kind) ?? "use a tool";
}

/** Where to answer, if a cell asks too or blocks the kernel. */
export function where(ui: Ui, request: string, chosen: string | undefined): TemplateResult | typeof nothing {
  const asked = ui.client.cellQuestion;
  const words =
    asked?.request === request
      ? cellField(document, asked)
        ? "The cell asks too: answer here or there."
        : "Answer in the cell: while it waits, the kernel receives no clicks."
      : chosen && ui.client.busy
        ? "The kernel is running a cell and receives the click when it ends."
        : "";
  return words ? html`<span class="sw-ask-where sw-dim">${words}</span>` : nothing;
}


function drawn(ui: Ui, step: Step, tool: Tool): TemplateResult | undefined {
  const { command, input, locations, permission } = tool;
  try {
    return html`
      ${command
        ? html`<pre class="sw-command" tabindex="0" aria-label="Command">${visible(ui.text(step, "command", command).text)}</pre>${rest(ui, step, "command", command)}`
        : html`<div class="sw-ask-title">${icon(toolIcon(tool.kind))}<bdi>${line(tool.title, 1000)}</bdi></div>`}
      ${input ? said(ui, step, "input", command ? "Beside the command" : "Input", input) : nothing}
      ${locations ? said(ui, step, "locations", "Files", locations) : nothing}
      ${details(ui, step, { ...tool, command: null, input: null }, `ask ${permission?.request}`)}`;
  } catch {
    return undefined;
  }
}

function said(ui: Ui, step: Step, part: "input" | "locations", name: string, start: Text): TemplateResult {
  return html`<details class="sw-input" open><summary>${name}</summary>
    <pre tabindex="0" aria-label=${name}>${visible(ui.text(step, part, start).text)}</pre>${rest(ui, step, part, start)}</details>`;
}

const SIGNS = new Map<string, IconName>([
  ["allow_once", "check"],
  ["allow_always", "check"],
  ["reject_once", "cross"],
  ["reject_always", "cross"],
]);

function button(ui: Ui, permission: Permission, option: Option, chosen: string | undefined, armed: boolean): TemplateResult {
  const sign = SIGNS.get(option.kind);
  return html`<button type="button" class="sw-button" data-kind=${option.kind} ?disabled=${chosen !== undefined || !armed}
    data-testid="permission-${option.kind}" @click=${() => ui.answer(permission.request, option.id)}>
    ${chosen === option.id ? spinner() : sign ? icon(sign) : nothing}<bdi>${line(option.name, 80)}</bdi>
  </button>`;
}
