// What a chat draws besides steps: the end of a turn, the current activity, a prompt on its way.
import { html, nothing, type TemplateResult } from "lit-html";
import { copyButton } from "../lib/dom.ts";
import { homeWords, type Kept, keptOf } from "../lib/home.ts";
import { icon, type IconName, spinner } from "../lib/icons.ts";
import type { Step, Turn } from "../lib/protocol.ts";
import { count, duration, line, moment, plural, visible } from "../lib/text.ts";
import { chip } from "../rows/parts.ts";
import type { Ui } from "./ui.ts";

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

/** What an error names that a cell shows: all sandboxes, to park or destroy one. */
const SHOWN = "sw.sandboxes()";

/** The time of the agent, and separately the time that a person took to answer. */
function times(turn: Turn, ended: number): TemplateResult {
  const took = Math.max(0, ended - turn.started - turn.waited);
  return html`<span title="Without the time that you took to answer">${duration(took)}${turn.waited >= 500 ? html` + ${duration(turn.waited)} you` : nothing}</span>`;
}

/** `later` saved this turn's files; no turn follows the `last` one; `prompt`: the turn's, if the page has it. */
export function footer(ui: Ui, turn: Turn, later: Turn | undefined, last: boolean, prompt?: Step): TemplateResult | typeof nothing {
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
    ${turn.error?.includes(SHOWN) ? html`<span class="sw-foot-call"><code class="sw-mono">${SHOWN}</code>${copyButton(() => SHOWN, `Copy ${SHOWN} for a cell`)}</span>` : nothing}
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
  return words ? html`<div class="sw-activity" aria-live="off"><span class="sw-shimmer">${line(words, 200).replace(/[.…]+$/, "")}…</span></div>` : nothing;
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
