// The figures of the runs, each with its difference to the first run.
import { html, nothing, type TemplateResult } from "lit-html";
import { line } from "../lib/text.ts";
import type { Comparison } from "./model.ts";

export function figures({ runs, metrics }: Comparison): TemplateResult {
  const about: [string, string[]][] = [
    ["harness", runs.map((run) => run.harness)],
    ["model", runs.map((run) => run.model ?? "")],
    ["outcome", runs.map((run) => run.outcome ?? "")],
  ];
  return html`<div class="sw-cmp-scroll" tabindex="0" role="region" aria-label="Figures">
    <table class="sw-cmp-figures">
      <thead><tr><td></td>${runs.map((run, i) => html`<th scope="col"><bdi class="sw-cmp-two">${line(run.title ?? run.id, 80)}</bdi>
        <div class="sw-dim">${i ? line(run.title ? run.id : "", 20) : "the others are compared with it"}</div></th>`)}</tr></thead>
      <tbody>
        ${about.filter(([, values]) => values.some(Boolean)).map(([label, values]) => html`<tr><th scope="row">${label}</th>
          ${values.map((value) => html`<td class="sw-cmp-word"><bdi>${line(value, 100)}</bdi></td>`)}</tr>`)}
        ${metrics.map((metric) => html`<tr><th scope="row">${line(metric.label, 60)}</th>
          ${metric.values.map((value, i) => html`<td><span>${value ? line(value, 60) : html`<span class="sw-dim" title="Not known">–</span>`}</span>
            ${i ? html`<span class="sw-dim sw-cmp-difference">${line(metric.differences[i] ?? "", 60).replace("-", "−")}</span>` : nothing}</td>`)}</tr>`)}
      </tbody>
    </table>
  </div>`;
}
