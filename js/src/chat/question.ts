// A question of the agent: a form to fill in, or an address to open. All its text is the agent's.
import { html, nothing, type TemplateResult } from "lit-html";
import { keyed } from "lit-html/directives/keyed.js";
import { icon, spinner } from "../lib/icons.ts";
import type { Field, Question, Step } from "../lib/protocol.ts";
import { line, visible } from "../lib/text.ts";
import { where } from "./permission.ts";
import type { Ui } from "./ui.ts";

const FEW = 6;

/** The oldest open question. */
export function questions(ui: Ui): TemplateResult | typeof nothing {
  const [step, ...others] = ui.client.transcript.questions;
  if (!step?.question) return nothing;
  return html`${keyed(step.question.request, card(ui, step, step.question, others.length + 1))}`;
}

function card(ui: Ui, step: Step, question: Question, waiting: number): TemplateResult {
  const { request, url, fields } = question;
  const chosen = ui.answering.get(request);
  const off = chosen !== undefined;
  const early = !ui.arming.armed(question);
  const error = ui.refusals.get(request);
  const submit = (event: Event) => {
    event.preventDefault();
    if (off || early) return; // Enter in a field, too
    ui.reply(request, "accept", url === null ? contentOf(event.currentTarget as HTMLFormElement, fields) : undefined);
  };
  const sign = (action: string) => (chosen === action ? spinner() : nothing);
  return html`<form class="sw-ask sw-question" role="group" aria-label="Question of the agent" @submit=${submit}>
    <div class="sw-ask-head">
      ${icon("question")}<strong>The agent asks you</strong>${waiting > 1 ? html`<span class="sw-dim">1 of ${waiting}</span>` : nothing}
    </div>
    <div class="sw-ask-body">
      <div class="sw-question-words" dir="auto">${visible(ui.text(step, "body", step.body ?? { text: "", length: 0 }).text)}</div>
      ${url === null ? fields.map((field) => row(field, off)) : address(url)}
      ${error ? html`<div class="sw-question-error" role="alert">${visible(error)}</div>` : nothing}
    </div>
    <div class="sw-ask-options">
      <button type="submit" class="sw-button" data-kind="allow" data-testid="question-accept" ?disabled=${off || early}>${sign("accept")}${url === null ? "Answer" : "Done"}</button>
      <button type="button" class="sw-button" data-testid="question-decline" ?disabled=${off || early} title="Say no" @click=${() => ui.reply(request, "decline")}>${sign("decline")}Decline</button>
      <button type="button" class="sw-button" data-testid="question-cancel" ?disabled=${off || early} title="Close without an answer" @click=${() => ui.reply(request, "cancel")}>${sign("cancel")}Cancel</button>
      ${where(ui, request, chosen)}
    </div>
  </form>`;
}

/** The full address; only web addresses can be opened from here. */
function address(url: string): TemplateResult {
  const web = /^https?:\/\//i.test(url);
  return html`<div class="sw-question-field"><span>The agent asks you to open this address. Open it only if you know it.</span>
    <code class="sw-question-url">${visible(url)}</code>
    ${web ? html`<a class="sw-question-open" href=${url} target="_blank" rel="noopener noreferrer nofollow">${icon("link")}Open in a new tab</a>` : nothing}</div>`;
}

function row(field: Field, off: boolean): TemplateResult {
  const about = field.description ? html`<small>${line(field.description, 600)}</small>` : nothing;
  const secret = field.secret ? html`<small>The agent receives it; no transcript contains it.</small>` : nothing;
  const title = html`<span class="sw-question-title"><bdi>${line(field.title, 200)}</bdi>${field.required ? nothing : html` <span class="sw-dim">(may be left out)</span>`}</span>`;
  if (field.kind === "choices" || (field.kind === "choice" && field.choices.length <= FEW)) {
    return html`<fieldset class="sw-question-field" ?disabled=${off}><legend>${title}</legend>${about}
      ${field.choices.map(({ value, label }) => html`<label class="sw-question-choice">
        <input type=${field.kind === "choice" ? "radio" : "checkbox"} name=${field.name} value=${value}
          ?required=${field.kind === "choice" && field.required} ?checked=${isDefault(field, value)} /><bdi>${line(label, 300)}</bdi></label>`)}
    </fieldset>`;
  }
  if (field.kind === "boolean") {
    return html`<div class="sw-question-field"><label class="sw-question-choice"><input type="checkbox" name=${field.name} ?checked=${field.default === true} ?disabled=${off} /><bdi>${line(field.title, 200)}</bdi></label>${about}</div>`;
  }
  return html`<label class="sw-question-field">${title}${about}${secret}${input(field, off)}</label>`;
}

function input(field: Field, off: boolean): TemplateResult {
  const { name, required, least, most } = field;
  const start = field.default === null || field.default === undefined ? "" : String(field.default);
  if (field.kind === "choice") {
    return html`<select name=${name} ?required=${required} ?disabled=${off}><option value="">…</option>
      ${field.choices.map(({ value, label }) => html`<option value=${value} ?selected=${value === start}>${line(label, 300)}</option>`)}</select>`;
  }
  if (field.kind === "text") {
    return html`<input type=${field.secret ? "password" : "text"} name=${name} value=${start} autocomplete="off" spellcheck="false" dir="auto"
      ?required=${required} minlength=${least ?? nothing} maxlength=${most ?? nothing} ?disabled=${off} />`;
  }
  return html`<input type="number" name=${name} value=${start} step=${field.kind === "integer" ? "1" : "any"} min=${least ?? nothing} max=${most ?? nothing} ?required=${required} ?disabled=${off} />`;
}

function isDefault(field: Field, value: string): boolean {
  return Array.isArray(field.default) ? field.default.includes(value) : field.default === value;
}

/** The values of the form by field name, without empty ones. */
export function contentOf(form: HTMLFormElement, fields: Field[]): Record<string, unknown> {
  const data = new FormData(form);
  const found: [string, unknown][] = [];
  for (const { name, kind } of fields) {
    if (kind === "boolean") found.push([name, data.has(name)]);
    else if (kind === "choices") found.push([name, data.getAll(name)]);
    else {
      const value = data.get(name);
      if (typeof value !== "string" || value === "") continue;
      found.push([name, kind === "number" || kind === "integer" ? Number(value) : value]);
    }
  }
  return Object.fromEntries(found);
}
