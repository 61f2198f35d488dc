// A question of the agent in the transcript, with its answer. All its text is the agent's.
import { html, nothing, type TemplateResult } from "lit-html";
import { icon } from "../lib/icons.ts";
import type { Question, Step } from "../lib/protocol.ts";
import { line, visible } from "../lib/text.ts";

const SAID = new Map([["decline", "Declined"], ["cancel", "Not answered"]]);

/** A question in the transcript, with its answer. */
export function asked(step: Step, question: Question): TemplateResult {
  const { action, values, by, reason } = question;
  const words = action === null ? (step.status === "pending" ? "asks you" : "Not answered") : SAID.get(action);
  return html`<div class="sw-asked" data-state=${action ?? step.status}>
    ${icon("question")}<div>
      <div dir="auto">${visible(step.body?.text ?? "")}</div>
      ${question.url === null ? nothing : html`<code class="sw-question-url">${visible(question.url)}</code>`}
      ${words ? html`<div class=${action === null && step.status === "pending" ? "sw-warn" : "sw-dim"} title=${line(reason ?? "", 300)}>${words}${by === "user:cell" ? " in the cell" : ""}</div>` : nothing}
      ${action === "accept" ? (values.length ? values.map(({ name, value }) => html`<div class="sw-asked-value"><span class="sw-dim"><bdi>${line(name, 80)}</bdi>: </span><bdi>${visible(value)}</bdi></div>`) : html`<div class="sw-dim">Answered</div>`) : nothing}
    </div>
  </div>`;
}
