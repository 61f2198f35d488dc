// A tool call: icon, title and status in one line; its diff, output and input below.
import { html, nothing, type TemplateResult } from "lit-html";
import { icon, spinner, toolIcon } from "../lib/icons.ts";
import type { Option, Permission, Step, Text, Tool } from "../lib/protocol.ts";
import { duration, line, visible } from "../lib/text.ts";
import { changes, diff, output, picture, rest, rowsOf } from "./parts.ts";
import type { RowUi } from "./ui.ts";

const SHORT_DIFF = 40;
const SHORT_OUTPUT = 14;

export function tool(ui: RowUi, step: Step, call: Tool): TemplateResult {
  const key = `${step.turn}.${step.index}`;
  const byDefault = opensByItself(step, call);
  const body = hasBody(call);
  const open = body && ui.isOpen(key, byDefault);
  return html`<div class="sw-tool ${open ? "sw-open" : ""}" data-status=${stateOf(step, call)}>
    <button type="button" class="sw-tool-head" aria-expanded=${body ? String(open) : nothing} ?disabled=${!body}
      @click=${() => ui.toggle(key, byDefault)}>
      ${icon(toolIcon(call.kind))}
      <bdi class="sw-tool-title ${call.command ? "sw-mono" : ""}" title=${line(call.title, 300)}>${line(call.command?.text ?? call.title, 300)}</bdi>
      ${open ? nothing : totals(call)}
      <span class="sw-tool-spring"></span>
      ${decisionMark(call.permission)}
      ${statusMark(step, call)}
      ${body ? icon("chevron", "sw-chevron") : nothing}
    </button>
    ${open ? html`<div class="sw-tool-body">${details(ui, step, call, key)}</div>` : nothing}
  </div>`;
}

/** The whole of a tool call, also shown in its permission request. */
export function details(ui: RowUi, step: Step, call: Tool, key: string): TemplateResult {
  const { command } = call;
  return html`
    ${command && isLong(command) ? html`<pre class="sw-command">${visible(ui.text(step, "command", command).text)}</pre>${rest(ui, step, "command", command)}` : nothing}
    ${call.blocks.map((block, i) => {
      if (block.type === "diff") return diff(ui, `${key}.${i}`, block);
      if (block.type === "text") return block.body.length ? output(ui, step, `blocks.${i}`, block.body) : nothing;
      if (block.type === "image") return picture(ui, step, i, block);
      return html`<div class="sw-dim sw-pad">${line(block.label)}</div>`;
    })}
    ${call.input
      ? html`<details class="sw-input"><summary>Input</summary>
          <pre>${visible(ui.text(step, "input", call.input).text)}</pre>${rest(ui, step, "input", call.input)}</details>`
      : nothing}
  `;
}

function hasBody(call: Tool): boolean {
  return Boolean(call.input || call.blocks.length || (call.command && isLong(call.command)));
}

function isLong({ text }: Text): boolean {
  return text.length > 70 || text.includes("\n");
}

function opensByItself(step: Step, call: Tool): boolean {
  const state = stateOf(step, call);
  if (state === "failed") return true;
  if (state === "waiting" || state === "refused") return false; // the permission request shows it, or did
  const diffs = call.blocks.filter((block) => block.type === "diff");
  if (diffs.length) return diffs.reduce((sum, block) => sum + rowsOf(block).rows.length, 0) <= SHORT_DIFF;
  if (call.kind !== "execute") return false;
  const texts = call.blocks.filter((block) => block.type === "text");
  return texts.length > 0 && texts.every(({ body }) => body.length < 2000 && body.text.split("\n").length <= SHORT_OUTPUT);
}

function totals(call: Tool): TemplateResult | typeof nothing {
  const diffs = call.blocks.filter((block) => block.type === "diff").map(rowsOf);
  if (!diffs.length) return nothing;
  const sum = (pick: "added" | "removed") => diffs.reduce((total, rows) => total + rows[pick], 0);
  return changes(sum("added"), sum("removed"));
}

function stateOf(step: Step, call: Tool): string {
  if (call.permission?.outcome === null) return "waiting";
  if (step.status !== "failed") return step.status;
  if (call.failure === "rejected" || (call.permission && refused(call.permission))) return "refused";
  return call.failure === "interrupted" ? "cancelled" : "failed"; // a call that a person stopped has not failed
}

function chosen(permission: Permission): Option | undefined {
  return permission.options.find((option) => option.id === permission.option);
}

function refused(permission: Permission): boolean {
  return chosen(permission)?.kind.startsWith("reject") ?? true;
}

function statusMark(step: Step, call: Tool): TemplateResult | typeof nothing {
  const took = step.ended - step.started - call.waited; // without the time that a person took to answer
  switch (stateOf(step, call)) {
    case "waiting":
      return html`<span class="sw-state sw-warn">${icon("shield")}<span>asks you</span></span>`;
    case "completed":
      return html`<span class="sw-state">${took >= 1000 ? html`<span class="sw-dim">${duration(took)}</span>` : nothing}${icon("check", "sw-ok")}<span class="sw-hidden">done</span></span>`;
    case "refused":
      return nothing; // the decision shows it
    case "failed":
      return html`<span class="sw-state sw-bad"><span>${call.exit_code ? exitWords(call.exit_code) : "failed"}</span>${icon("cross")}</span>`;
    case "cancelled":
      return html`<span class="sw-state sw-dim"><span>stopped</span>${icon("stopped")}</span>`;
    case "unfinished":
      return html`<span class="sw-state sw-dim"><span>unfinished</span>${icon("stopped")}</span>`;
    default:
      return html`<span class="sw-state">${spinner()}<span class="sw-hidden">running</span></span>`;
  }
}

/** An exit code; a negative one is a signal. */
function exitWords(code: number): string {
  return code < 0 ? `signal ${-code}` : `exit ${code}`;
}

/** The decision of the call's permission request: the option and the decider. */
function decisionMark(permission: Permission | null): TemplateResult | typeof nothing {
  if (!permission || permission.outcome === null) return nothing;
  const option = chosen(permission);
  const by = decider(permission.by ?? "user");
  const words = option ? decision(option.kind) : "Not answered";
  const title = [option?.name, permission.reason].filter(Boolean).join(": ");
  return html`<span class="sw-tag ${refused(permission) ? "sw-tag-bad" : ""} ${by === " by policy" ? "sw-tag-quiet" : ""}" title=${line(title)}>${words}${by}</span>`;
}

function decider(by: string): string {
  if (by === "user") return "";
  if (by === "user:cell") return " in the cell";
  return by.startsWith("policy") ? " by policy" : ` by ${line(by, 40)}`;
}

function decision(kind: string): string {
  return DECISIONS.get(kind) ?? "Answered";
}

const DECISIONS = new Map([
  ["allow_once", "Allowed"],
  ["allow_always", "Always allowed"],
  ["reject_once", "Rejected"],
  ["reject_always", "Always rejected"],
]);
