// The filters of a search: lists of what the store has, and fields for files and days.
import { html, nothing, type TemplateResult } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { icon } from "../lib/icons.ts";
import { line } from "../lib/text.ts";
import type { Asked } from "./protocol.ts";
import { NOTHING, type Results } from "./results.ts";

const ERRORS = [["", "any"], ["true", "failed"], ["false", "not failed"]] as const;
const KINDS = new Map([["user", "prompts"], ["message", "messages"], ["thought", "thoughts"], ["tool_call", "tool calls"], ["plan", "plans"], ["error", "errors"], ["subagent", "subagents"], ["compaction", "compactions"], ["notice", "notices"], ["question", "questions"]]);

export function filters(results: Results): TemplateResult {
  const { asked, choices } = results;
  const names = (name: "harness" | "tool" | "kind", label: string, words = (one: string) => one) =>
    pick(label, asked[name]?.join(", ") ?? "", choices?.[name] ?? [], (value) => results.ask({ [name]: value ? [value] : null }), words);
  return html`<div class="sw-search-filters" role="group" aria-label="Filters">
    ${names("harness", "Harness")}
    ${pick("Model", asked.model ?? "", choices?.model ?? [], (value) => results.ask({ model: value || null }))}
    ${names("tool", "Tool")}
    ${names("kind", "Step", (one) => KINDS.get(one) ?? one.replaceAll("_", " "))}
    ${pick("Outcome", asked.error === null ? "" : String(asked.error), ERRORS.slice(1).map(([value]) => value), (value) => results.ask({ error: value ? value === "true" : null }), (one) => ERRORS.find(([value]) => value === one)?.[1] ?? one)}
    ${field(results, "file", "File", "text")}
    ${field(results, "since", "From", "date")}
    ${field(results, "until", "Before", "date")}
    ${asked.session ? html`<button type="button" class="sw-search-chip" title="Search all sessions" @click=${() => results.ask({ session: null })}>
        <span class="sw-dim">in</span> <bdi>${line(asked.session.join(", "), 40)}</bdi>${icon("cross")}</button>` : nothing}
    ${results.filters ? html`<button type="button" class="sw-link sw-search-clear" @click=${() => results.ask({ ...NOTHING, text: asked.text, regex: asked.regex, case: asked.case })}>Clear</button>` : nothing}
  </div>`;
}

/** An invisible list covers the visible text, so that it is as wide as its text. */
function pick(label: string, value: string, values: readonly string[], choose: (value: string) => void, words: (one: string) => string = (one) => one): TemplateResult {
  const others = value && !values.includes(value) ? [value, ...values] : values;
  return html`<label class="sw-search-pick" data-set=${String(value !== "")}>
    <span class="sw-search-label" aria-hidden="true">${label}</span>${value ? html`<bdi class="sw-search-value" aria-hidden="true">${line(words(value), 30)}</bdi>` : nothing}${icon("chevron", "sw-search-sign")}
    <select aria-label=${label} .value=${live(value)} @change=${(event: Event) => choose((event.target as HTMLSelectElement).value)}>
      <option value="" ?selected=${value === ""}>any</option>
      ${others.map((one) => html`<option value=${one} ?selected=${one === value}>${line(words(one), 80)}</option>`)}
    </select></label>`;
}

function field(results: Results, name: "file" | "since" | "until", label: string, type: "text" | "date"): TemplateResult {
  const value = results.asked[name] ?? "";
  const change = (event: Event, soon: boolean) => results.ask({ [name]: (event.target as HTMLInputElement).value || null } as Partial<Asked>, soon);
  return html`<label class="sw-search-field" data-set=${String(value !== "")}><span class="sw-search-label">${label}</span>
    <input type=${type} .value=${live(type === "date" ? value.slice(0, 10) : value)} placeholder=${type === "text" ? "part of a path" : nothing} spellcheck="false" autocomplete="off"
      @input=${(event: Event) => change(event, type === "text")} /></label>`;
}
