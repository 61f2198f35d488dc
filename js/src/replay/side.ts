// Beside the transcript, at the same moment: the step with its diff, the files, the terminal, the plan.
import { html, nothing, type TemplateResult } from "lit-html";
import { ansiRuns } from "../lib/ansi.ts";
import { copyButton } from "../lib/dom.ts";
import { highlighted, languageOf } from "../lib/highlight.ts";
import { fileIcon, icon, type IconName, spinner, toolIcon } from "../lib/icons.ts";
import type { Step } from "../lib/protocol.ts";
import { basename, count, line, moment as time, visible } from "../lib/text.ts";
import { diff, prose, rest, whole } from "../rows/parts.ts";
import { stepRow } from "../rows/step.ts";
import { details } from "../rows/tool.ts";
import type { RowUi } from "../rows/ui.ts";
import { annotationsOf } from "./annotations.ts";
import type { Player } from "./player.ts";
import type { Command, FileState, FileText, Moment } from "./protocol.ts";

export const TABS = [["step", "Step"], ["files", "Files"], ["terminal", "Terminal"], ["plan", "Plan"]] as const;
export type Tab = (typeof TABS)[number][0];

export function side(tab: Tab, player: Player, ui: RowUi, moment: Moment): TemplateResult {
  switch (tab) {
    case "step":
      return html`${whole(() => stepPane(player, ui, moment))}`;
    case "files":
      return files(player, ui, moment);
    case "terminal":
      return terminal(moment);
    case "plan":
      return plan(ui, moment);
  }
}

const KINDS = new Map([["user", "Prompt"], ["message", "Message"], ["thought", "Thought"], ["plan", "Plan"], ["question", "Question"], ["compaction", "Compaction"], ["subagent", "Subagent"], ["notice", "Notice"], ["error", "Error"]]);

function stepPane(player: Player, ui: RowUi, moment: Moment): TemplateResult {
  const step = moment.changed;
  if (!step) return nothingYet("No step at this moment.");
  const { tool } = step;
  const link = `sw.Replay("${player.replay?.id}", at="${step.turn}/${step.index}")`;
  return html`<div class="sw-rep-step">
    <div class="sw-rep-step-head">
      ${icon(tool ? toolIcon(tool.kind) : (STEP_ICONS.get(step.kind) ?? "text"))}
      <bdi class="sw-rep-step-title">${tool ? line(tool.title, 300) : (KINDS.get(step.kind) ?? line(step.kind, 40))}</bdi>
      ${copyButton(() => link, "Copy the call that opens this step")}
    </div>
    <div class="sw-dim sw-rep-facts">
      <span>Step ${step.turn}/${step.index}</span><span data-state=${step.status}>${line(step.status.replace("_", " "), 40)}${tool?.exit_code ? `, exit ${tool.exit_code}` : ""}</span>
      ${moment.ts === null ? nothing : html`<span>${time(moment.ts)}</span>`}
    </div>
    <div class="sw-rep-step-body">${tool ? call(ui, step) : text(ui, step)}</div>
    ${annotationsOf(player.annotations, step, () => { if (player.playing) player.pause(); })}
  </div>`;
}

const STEP_ICONS = new Map<string, IconName>([["user", "send"], ["thought", "think"], ["plan", "plan"], ["question", "question"], ["compaction", "memory"], ["subagent", "agent"], ["error", "alert"], ["notice", "alert"]]);

function call(ui: RowUi, step: Step): TemplateResult | typeof nothing {
  const tool = step.tool!;
  const key = `side ${step.turn}.${step.index}`;
  const diffs = tool.blocks.flatMap((block, i) => (block.type === "diff" ? [diff(ui, `${key}.${i}`, block)] : []));
  const others = tool.blocks.some((block) => block.type !== "diff") || tool.input || tool.command;
  if (!diffs.length && !others) return html`<div class="sw-dim sw-pad">Nothing besides its title.</div>`;
  if (!diffs.length && tool.command) {
    return html`<pre class="sw-command">${visible(ui.text(step, "command", tool.command).text)}</pre>${details(ui, step, { ...tool, command: null }, key)}`;
  }
  return details(ui, step, tool, key);
}

function text(ui: RowUi, step: Step): TemplateResult | typeof nothing {
  if (step.entries || step.question || !step.body) return stepRow(ui, step);
  const shown = ui.text(step, "body", step.body).text;
  return html`${step.kind === "message" || step.kind === "thought" ? prose(ui, shown) : html`<div class="sw-rep-words" dir="auto">${visible(shown)}</div>`}${rest(ui, step, "body", step.body)}`;
}

function plan(ui: RowUi, moment: Moment): TemplateResult {
  if (!moment.plan) return nothingYet("The agent has no plan at this moment.");
  return html`<div class="sw-rep-pad">${stepRow(ui, moment.plan)}</div>`;
}

function terminal({ commands }: Moment): TemplateResult {
  if (!commands.length) return nothingYet("No command has run by this moment.");
  return html`<div class="sw-rep-terminal" tabindex="0" role="group" aria-label="Terminal">${commands.map(ran)}</div>`;
}

function ran({ command, output, cut, status, exit_code }: Command): TemplateResult {
  const bad = status === "failed";
  return html`<div class="sw-rep-ran">
    <pre class="sw-rep-command">${visible(command)}</pre>
    ${output.trim() ? html`<pre>${cut ? "…\n" : ""}${ansiRuns(output).map((run) => run.classes || run.rgb ? html`<span class=${run.classes} style=${run.rgb ? `color: rgb(${run.rgb})` : nothing}>${visible(run.text)}</span>` : visible(run.text))}</pre>` : nothing}
    ${status === "in_progress" || status === "pending" ? html`<span class="sw-dim">${spinner()} ${status === "pending" ? "not started" : "running"}</span>` : nothing}
    ${status === "unfinished" || status === "cancelled" ? html`<span class="sw-dim">${status}</span>` : nothing}
    ${bad ? html`<span class="sw-bad">${exit_code ? `exit ${exit_code}` : "failed"}</span>` : nothing}
  </div>`;
}

function files(player: Player, ui: RowUi, moment: Moment): TemplateResult {
  if (!moment.files.length) return nothingYet("The transcript has named no file yet.");
  const rows: TemplateResult[] = [];
  let folder = "";
  for (const file of moment.files) {
    const own = file.path.slice(0, Math.max(0, file.path.lastIndexOf("/")));
    if (own !== folder) {
      folder = own;
      if (folder) rows.push(html`<div class="sw-rep-folder" title=${line(folder)}>${icon("folder")}<bdi>${line(folder, 200)}</bdi></div>`);
    }
    rows.push(fileRow(player, file, own !== ""));
  }
  return html`<div class="sw-rep-files">
    <div class="sw-rep-tree" role="group" aria-label="Files at this moment">${rows}
      ${moment.more_files ? html`<div class="sw-dim sw-pad">and ${count(moment.more_files)} more</div>` : nothing}</div>
    ${player.path === undefined ? nothing : preview(player, ui, moment)}
  </div>`;
}

const STATES = { known: "", unknown: "text not known", deleted: "deleted" };

function fileRow(player: Player, file: FileState, inside: boolean): TemplateResult {
  const open = file.path === player.path;
  return html`<button type="button" class="sw-rep-file ${inside ? "sw-rep-inside" : ""}" data-state=${file.state} ?data-now=${file.now} aria-pressed=${String(open)}
    title=${`${line(file.path)}${STATES[file.state] ? ` (${STATES[file.state]})` : ""}`} @click=${() => player.open(open ? undefined : file.path)}>
    ${icon(fileIcon(file.path, "file"))}<bdi>${line(basename(file.path), 120)}</bdi>
    ${file.now ? html`<span class="sw-tag">now</span>` : nothing}
    <span class="sw-rep-state">${file.state === "unknown" ? "?" : ""}<span class="sw-hidden">${STATES[file.state]}</span></span>
  </button>`;
}

const WHY = new Map([
  ["command", "A command that may change any file has run since its text was last known."],
  ["edit", "It was edited, but its whole text before the edit is not in the transcript."],
  ["turn", "It changed during the turn, by no tool call that shows how."],
  ["seen", "The transcript names it without its whole text."],
]);
const FROM = new Map([["written", "as the agent wrote it"], ["edited", "as its edits leave it"], ["read", "as the agent read it"], ["kept", "as it was kept at the end of the turn"]]);

function preview(player: Player, ui: RowUi, moment: Moment): TemplateResult {
  const { file, path } = player;
  const state = moment.files.find((one) => one.path === path);
  return html`<div class="sw-rep-preview">
    <div class="sw-rep-preview-head"><bdi>${line(path ?? "", 300)}</bdi>
      ${file && !(file instanceof Error) && file.text !== null ? copyButton(() => file.text ?? "", "Copy text") : nothing}
      <button type="button" class="sw-ghost" aria-label="Close" title="Close" @click=${() => player.open(undefined)}>${icon("cross")}</button></div>
    ${!state
      ? html`<div class="sw-dim sw-pad">Not yet named at this moment.</div>`
      : file instanceof Error
        ? html`<div class="sw-bad sw-pad">${line(file.message, 300)}</div>`
        : file
          ? content(ui, file)
          : html`<div class="sw-pad">${spinner()}</div>`}
  </div>`;
}

function content(_: RowUi, file: FileText): TemplateResult {
  const unknown = file.state === "unknown";
  return html`
    <div class="sw-rep-why" data-state=${file.state}>${unknown
      ? html`<strong>Not known.</strong> ${WHY.get(file.reason) ?? ""}${file.text === null ? "" : " Its last known text:"}`
      : file.state === "deleted" ? "Deleted." : html`Known, ${FROM.get(file.reason) ?? "from the transcript"} (event ${file.seq.toLocaleString("en")}).`}</div>
    ${file.text === null && file.state === "known" ? html`<div class="sw-dim sw-pad">It is no text, or its content is no longer kept.</div>` : nothing}
    ${file.text === null ? nothing : html`<pre class="sw-rep-text" data-state=${file.state} tabindex="0" aria-label="Text of the file">${highlighted(visible(file.text), languageOf(file.path))}</pre>`}
    ${file.text !== null && file.length > file.text.length ? html`<div class="sw-dim sw-pad">Only its start is shown: ${count(file.length)} characters.</div>` : nothing}`;
}

function nothingYet(words: string): TemplateResult {
  return html`<div class="sw-rep-nothing">${words}</div>`;
}
