// One step of a transcript as a row: prompt, message, thought, tool call, plan, question, notice or error.
import { html, nothing, type TemplateResult } from "lit-html";
import { copyButton } from "../lib/dom.ts";
import { icon, type IconName } from "../lib/icons.ts";
import type { Entry, Step } from "../lib/protocol.ts";
import { duration, line, visible } from "../lib/text.ts";
import { asked } from "./asked.ts";
import { prose, rest, tail, whole } from "./parts.ts";
import { tool } from "./tool.ts";
import type { RowUi } from "./ui.ts";

/** Draw one step, or an error in its place. */
export function stepRow(ui: RowUi, step: Step): TemplateResult | typeof nothing {
  return whole(() => nested(ui, step));
}

/** A step of a subagent stands under the row of that subagent. */
function nested(ui: RowUi, step: Step): TemplateResult | typeof nothing {
  const drawn = row(ui, step);
  return step.nested && drawn !== nothing ? html`<div class="sw-nested">${drawn}</div>` : drawn;
}

function row(ui: RowUi, step: Step): TemplateResult | typeof nothing {
  switch (step.kind) {
    case "user":
      return prompt(ui, step);
    case "message":
      return message(ui, step);
    case "thought":
      return thought(ui, step);
    case "tool_call":
      return step.tool ? tool(ui, step, step.tool) : nothing;
    case "question":
      return step.question ? asked(step, step.question) : nothing;
    case "compaction":
    case "subagent":
      return summary(ui, step);
    case "plan":
      if (step.body) return message(ui, step);
      return plan(ui, step, step.entries ?? []);
    case "error":
      return html`<div class="sw-error" role="alert">${icon("alert")}<div class="sw-error-text">${visible(textOf(ui, step))}</div></div>`;
    default:
      return notice(step, textOf(ui, step));
  }
}

function notice(step: Step, text: string): TemplateResult {
  if (!step.severity) return html`<div class="sw-notice">${visible(text)}</div>`;
  const word = step.severity === "error" ? "Error" : "Warning";
  return html`<div class="sw-notice" data-severity=${step.severity}>${icon("alert")}<div><span class="sw-hidden">${word}: </span>${visible(text)}</div></div>`;
}

function textOf(ui: RowUi, step: Step): string {
  return step.body ? ui.text(step, "body", step.body).text : "";
}

function more(ui: RowUi, step: Step): TemplateResult | typeof nothing {
  return step.body ? rest(ui, step, "body", step.body) : nothing;
}

function prompt(ui: RowUi, step: Step): TemplateResult {
  const text = textOf(ui, step);
  return html`<div class="sw-prompt">
    <div class="sw-bubble" dir="auto"><span class="sw-hidden">You: </span>${visible(text)}${more(ui, step)}</div>
    <div class="sw-tools">${copyButton(() => text, "Copy prompt")}</div>
  </div>`;
}

function message(ui: RowUi, step: Step): TemplateResult {
  const text = textOf(ui, step);
  const growing = step.status === "running";
  return html`<div class="sw-message ${growing ? "sw-growing" : ""}">
    ${prose(ui, text)}${more(ui, step)}${step.body ? tail(step.body) : nothing}
    ${growing ? nothing : html`<div class="sw-tools">${copyButton(() => text, "Copy message as markdown")}</div>`}
  </div>`;
}

function thought(ui: RowUi, step: Step): TemplateResult {
  const growing = step.status === "running";
  const took = step.ended - step.started;
  return folded(ui, step, growing ? "Thinking" : took >= 500 ? `Thought for ${duration(took)}` : "Thought", growing, "think");
}

function summary(ui: RowUi, step: Step): TemplateResult {
  return folded(ui, step, visible(step.headline ?? ""), step.status === "in_progress", step.kind === "subagent" ? "agent" : "memory");
}

/** A line that opens to the text behind it. */
function folded(ui: RowUi, step: Step, label: unknown, growing: boolean, symbol: IconName): TemplateResult {
  const key = `${step.turn}.${step.index}`;
  const open = ui.isOpen(key, false);
  return html`<div class="sw-thought ${open ? "sw-open" : ""}">
    <button type="button" class="sw-thought-head" aria-expanded=${String(open)} @click=${() => ui.toggle(key, false)}>
      ${icon(symbol)}<span class=${growing ? "sw-shimmer" : ""}>${label}</span>
      ${icon("chevron", "sw-chevron")}
    </button>
    ${open ? html`<div class="sw-thought-body">${prose(ui, textOf(ui, step))}${more(ui, step)}${step.body ? tail(step.body) : nothing}</div>` : nothing}
  </div>`;
}

const ENTRY = new Map<string, [IconName, string]>([
  ["pending", ["todo", "to do"]],
  ["in_progress", ["doing", "in progress"]],
  ["completed", ["done", "done"]],
]);

function plan(ui: RowUi, step: Step, entries: Entry[]): TemplateResult {
  const key = `${step.turn}.${step.index}`;
  const open = ui.isOpen(key, true);
  const done = entries.filter((entry) => entry.status === "completed").length;
  return html`<div class="sw-plan ${open ? "sw-open" : ""}">
    <button type="button" class="sw-plan-head" aria-expanded=${String(open)} @click=${() => ui.toggle(key, true)}>
      ${icon("plan")}<span>Plan</span><span class="sw-dim">${done} of ${entries.length} done</span>${icon("chevron", "sw-chevron")}
    </button>
    ${open
      ? html`<ul>
          ${entries.map((entry) => {
            const [name, words] = ENTRY.get(entry.status) ?? (["todo", line(entry.status, 40)] as const);
            return html`<li data-state=${entry.status}>${icon(name)}<span class="sw-hidden">${words}: </span><span dir="auto">${line(entry.content, 500)}</span></li>`;
          })}
        </ul>`
      : nothing}
  </div>`;
}
