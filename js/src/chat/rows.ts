// One turn: the prompt, its steps, and its end.
import { html, nothing, type TemplateResult } from "lit-html";
import { guard } from "lit-html/directives/guard.js";
import { repeat } from "lit-html/directives/repeat.js";
import { copyButton } from "../lib/dom.ts";
import { homeWords, type Kept, keptOf } from "../lib/home.ts";
import { icon, type IconName, spinner } from "../lib/icons.ts";
import type { Entry, Step, Turn } from "../lib/protocol.ts";
import { count, duration, line, moment, plural, visible } from "../lib/text.ts";
import type { Section } from "../lib/transcript.ts";
import { memory } from "./handover.ts";
import { chip, prose, rest, tail, whole } from "./parts.ts";
import { asked } from "./question.ts";
import { tool } from "./tool.ts";
import type { Ui } from "./ui.ts";

/**
 * `later` is the turn that saved this turn's files; `last` means that no turn follows; `missing`, that a card below
 * lists the missing requirements of the harness.
 */
export function section(ui: Ui, section: Section, later: Turn | undefined, last: boolean, missing: boolean): TemplateResult {
  const [first, ...others] = section.steps;
  const all = first?.kind === "user" ? others : section.steps;
  const said = last && missing && section.turn?.status === "failed";
  const steps = said ? all.filter((step) => step.kind !== "error") : toldOnce(all);
  return html`<section class="sw-turn" aria-label="Turn ${section.index}">
    ${first?.kind === "user" ? guard([first, ui.rev], () => whole(() => row(ui, first))) : nothing}
    ${section.turn ? whole(() => memory(ui, section.turn!)) : nothing}
    ${repeat(steps, (step) => step.index, (step) => guard([step, ui.rev], () => whole(() => nested(ui, step))))}
    ${section.turn ? whole(() => footer(ui, section.turn!, later, last, first?.kind === "user" ? first : undefined)) : nothing}
  </section>`;
}

/** Steps without errors that repeat another error of the turn, as when an agent's exit fails its turn. */
function toldOnce(steps: Step[]): Step[] {
  const errors = steps.filter((step) => step.kind === "error");
  const repeats = (step: Step) => errors.some((other) => other !== step && tells(other, step) && (!tells(step, other) || other.index < step.index));
  return errors.length > 1 ? steps.filter((step) => step.kind !== "error" || !repeats(step)) : steps;
}

/** Whether one error contains the other. */
function tells(one: Step, other: Step): boolean {
  return (one.body?.text ?? "").includes((other.body?.text ?? "").trim().replace(/\.$/, ""));
}

/** A step of a subagent stands under the row of that subagent. */
function nested(ui: Ui, step: Step): TemplateResult | typeof nothing {
  const drawn = row(ui, step);
  return step.nested && drawn !== nothing ? html`<div class="sw-nested">${drawn}</div>` : drawn;
}

function row(ui: Ui, step: Step): TemplateResult | typeof nothing {
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

function textOf(ui: Ui, step: Step): string {
  return step.body ? ui.text(step, "body", step.body).text : "";
}

function more(ui: Ui, step: Step): TemplateResult | typeof nothing {
  return step.body ? rest(ui, step, "body", step.body) : nothing;
}

export function prompt(ui: Ui, step: Step): TemplateResult {
  const text = textOf(ui, step);
  return html`<div class="sw-prompt">
    <div class="sw-bubble" dir="auto"><span class="sw-hidden">You: </span>${visible(text)}${more(ui, step)}</div>
    <div class="sw-tools">${copyButton(() => text, "Copy prompt")}</div>
  </div>`;
}

function message(ui: Ui, step: Step): TemplateResult {
  const text = textOf(ui, step);
  const growing = step.status === "running";
  return html`<div class="sw-message ${growing ? "sw-growing" : ""}">
    ${prose(ui, text)}${more(ui, step)}${step.body ? tail(step.body) : nothing}
    ${growing ? nothing : html`<div class="sw-tools">${copyButton(() => text, "Copy message as markdown")}</div>`}
  </div>`;
}

function thought(ui: Ui, step: Step): TemplateResult {
  const growing = step.status === "running";
  const took = step.ended - step.started;
  return folded(ui, step, growing ? "Thinking" : took >= 500 ? `Thought for ${duration(took)}` : "Thought", growing, "think");
}

function summary(ui: Ui, step: Step): TemplateResult {
  return folded(ui, step, visible(step.headline ?? ""), step.status === "in_progress", step.kind === "subagent" ? "agent" : "memory");
}

/** A line that opens to the text behind it. */
function folded(ui: Ui, step: Step, label: unknown, growing: boolean, symbol: IconName): TemplateResult {
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

function plan(ui: Ui, step: Step, entries: Entry[]): TemplateResult {
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

const REASONS = new Map([
  ["end_turn", "Done"],
  ["cancelled", "Stopped"],
  ["refusal", "The agent refused"],
  ["max_tokens", "Reached the token limit"],
  ["max_turn_requests", "Reached the request limit"],
]);

/** The label of a failed turn by its `outcome`. */
const FAILURES = new Map([
  ["turn_limit", "Failed: a limit of the turn"],
  ["auth_failed", "Failed: no valid key"],
  ["rate_limited", "Failed: rate limited"],
  ["agent_exited", "Failed: the agent exited"],
  ["model_error", "Failed: model error"],
  ["no_answer", "No answer"],
]);

/** The time of the agent, and separately the time that a person took to answer. */
function times(turn: Turn, ended: number): TemplateResult {
  const took = Math.max(0, ended - turn.started - turn.waited);
  return html`<span title="Without the time that you took to answer">${duration(took)}${turn.waited >= 500 ? html` + ${duration(turn.waited)} you` : nothing}</span>`;
}

/** `prompt`: the turn's prompt, if the page has it. */
function footer(ui: Ui, turn: Turn, later: Turn | undefined, last: boolean, prompt?: Step): TemplateResult | typeof nothing {
  if (turn.status === "running") return nothing;
  const words = turn.status === "failed" || FAILURES.has(turn.outcome) ? (FAILURES.get(turn.outcome) ?? "Failed") : (REASONS.get(turn.stop_reason ?? "") ?? (turn.status === "cancelled" ? "Stopped" : "Done"));
  const failed = turn.status === "failed" || FAILURES.has(turn.outcome);
  const sign: IconName = failed ? "cross" : turn.status === "cancelled" ? "stopped" : "check";
  const kept = keptOf(turn, later, moment);
  const key = `${turn.turn} kept`;
  const byDefault = kept?.state === "lost" && last;
  return html`<footer class="sw-foot" data-status=${failed ? "failed" : turn.status}>
    <span class="sw-foot-words">${icon(sign)}${words}</span>
    ${turn.ended ? times(turn, turn.ended) : nothing}
    ${tokens(turn)}
    ${last && turn.status === "failed" && prompt?.body && prompt.body.text.length === prompt.body.length
      ? retryButton(ui, prompt.body.text)
      : nothing}
    ${kept ? keptButton(kept, ui.isOpen(key, byDefault), () => ui.toggle(key, byDefault)) : nothing}
    ${turn.files.length ? html`<span class="sw-chips">${turn.files.slice(0, 8).map((file) => chip(ui, file.path, file.change))}
      ${turn.files.length > 8 ? html`<span>and ${plural(turn.files.length - 8, "more file", "more files")}</span>` : nothing}</span>` : nothing}
    ${kept && ui.isOpen(key, byDefault) ? html`<div class="sw-kept-detail" data-state=${kept.state} dir="auto">${visible(kept.detail)}</div>` : nothing}
  </footer>`;
}

function retryButton(ui: Ui, text: string): TemplateResult {
  return html`<button type="button" class="sw-button sw-retry" title="Send the prompt again" @click=${() => ui.retry(text)}>${icon("refresh")}Retry</button>`;
}

const KEPT: Record<Kept["state"], IconName> = { disk: "disk", saved: "saved", later: "saved", lost: "unsaved" };

function keptButton({ state, words, detail }: Kept, open: boolean, toggle: () => void): TemplateResult {
  return html`<button type="button" class="sw-kept" data-state=${state} aria-expanded=${String(open)} title=${line(detail, 600)} @click=${toggle}>
    ${icon(KEPT[state])}<span class=${state === "disk" ? "sw-hidden" : ""}>${words}</span>
  </button>`;
}

/** The current activity of a running turn that no step shows. */
export function activity(turn: Turn, words: string | null): TemplateResult | typeof nothing {
  if (turn.saving) {
    const folder = turn.attachment === "directory";
    return html`<div class="sw-activity sw-saving" aria-live="off">
      ${icon(folder ? "disk" : "cloud")}<span>${words ? line(words, 200) : folder ? "Saving" : `Saving to ${homeWords(turn)}`}…</span>
    </div>`;
  }
  return words ? html`<div class="sw-activity" aria-live="off"><span class="sw-shimmer">${line(words, 200)}…</span></div>` : nothing;
}

function tokens({ usage }: Turn): TemplateResult | typeof nothing {
  if (usage.input === null && usage.output === null && usage.total === null) return nothing;
  const words = usage.input === null && usage.output === null
    ? `${count(usage.total ?? 0)} tokens`
    : `${count(usage.input ?? 0)} in, ${count(usage.output ?? 0)} out`;
  const scope = usage.scope === "call" ? " in the last model call" : "";
  const cost = usage.cost === null ? "" : ` · ${usage.cost.toFixed(usage.cost < 0.1 ? 4 : 2)} ${usage.currency ?? ""}`;
  const title = scope ? "The agent counts its last model call, not the whole turn" : "Tokens of this turn";
  return html`<span title=${usage.remark ? line(`${title}; ${usage.remark}`, 300) : title}>${words}${scope}${cost}</span>`;
}

/** A prompt that the kernel has not received yet. */
export function outgoing(text: string, busy: boolean): TemplateResult {
  return html`<div class="sw-prompt sw-outgoing">
    <div class="sw-bubble" dir="auto">${visible(text)}</div>
    <div class="sw-dim sw-outgoing-note">${spinner()} ${busy ? "The kernel is running a cell and receives this when it ends" : "Sending"}</div>
  </div>`;
}
