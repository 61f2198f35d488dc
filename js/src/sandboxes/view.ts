// A table of sandboxes, each with its actions. What would lose something asks first.
import { html, nothing, render, type TemplateResult } from "lit-html";
import { framed } from "../lib/dom.ts";
import { timeLeft } from "../lib/home.ts";
import { icon, spinner } from "../lib/icons.ts";
import { line, moment, plural, visible } from "../lib/text.ts";
import type { Action, Link, Sandbox } from "./link.ts";

const TICK = 1000;
const DOING = { park: "Parking…", destroy: "Destroying…" };
const UNITS = [[86_400, "d"], [3600, "h"], [60, "min"]] as const;

export function mountSandboxes(parent: HTMLElement, link: Link): () => void {
  const root = document.createElement("div");
  root.className = "sw-boxes";
  parent.append(root);
  const redraw = framed(draw);
  const tick = setInterval(redraw, TICK);
  const unsubscribe = link.subscribe(redraw);
  draw();

  function draw(): void {
    render(link.found ? page(link.found) : blank(), root);
  }

  function blank(): TemplateResult {
    if (link.state === "gone") return html`<div class="sw-boxes-note">The kernel is gone. Run the cell again.</div>`;
    return html`<div class="sw-boxes-note"><div class="sw-bones"><i></i><i></i></div></div>`;
  }

  function page(found: NonNullable<Link["found"]>): TemplateResult {
    const { sandboxes } = found;
    const running = sandboxes.filter((one) => one.running).length;
    const failed = link.errors.get("");
    return html`<div class="sw-head">
        <span class="sw-title">${sandboxes.length ? plural(sandboxes.length, "sandbox", "sandboxes") : "Sandboxes"}</span>
        ${sandboxes.length ? html`<span class="sw-dim sw-boxes-total">${running} running${found.total ? ` · ${line(found.total, 80)}, estimated` : ""}</span>` : nothing}
        <span class="sw-dim sw-boxes-at">${link.state === "gone" ? html`<span class="sw-warn">The kernel is gone</span>` : `as of ${moment(found.at)}`}</span>
        <button type="button" class="sw-ghost" title="Ask the providers again" aria-label="Ask the providers again"
          ?disabled=${link.refreshing || link.state === "gone"} @click=${() => link.refresh()}>${link.refreshing ? spinner() : icon("refresh")}</button>
      </div>
      <div class="sw-hidden" role="status">${visible(link.said)}</div>
      ${failed ? html`<div class="sw-boxes-problem" role="alert">${icon("alert")}<span>${line(failed, 600)}</span></div>` : nothing}
      ${found.problems.map(({ provider, text }) => html`<div class="sw-boxes-problem">${icon("alert")}<span><b>${line(provider, 60)}</b> was not asked: ${line(text, 600)}</span></div>`)}
      ${sandboxes.length ? table(sandboxes) : html`<div class="sw-boxes-note sw-dim">No sandboxes. A session makes one with its first prompt.</div>`}`;
  }

  function table(sandboxes: Sandbox[]): TemplateResult {
    return html`<div class="sw-boxes-scroll sw-scroll" tabindex="0" role="region" aria-label="Sandboxes">
      <table role="table"><thead role="rowgroup"><tr role="row">
        ${["Sandbox", "Session", "State", "Deadline", "Age", "Ran", "Cost", "Owner"].map((name) => html`<th role="columnheader" scope="col">${name}</th>`)}
        <th role="columnheader" scope="col"><span class="sw-hidden">Actions</span></th>
      </tr></thead><tbody role="rowgroup">${sandboxes.map(row)}</tbody></table>
    </div>`;
  }

  function row(one: Sandbox): TemplateResult {
    const [provider, id] = [one.ref.slice(0, one.ref.indexOf(":")), one.ref.slice(one.ref.indexOf(":") + 1)];
    const left = one.deadline === null ? undefined : timeLeft(one.deadline, link.now());
    const error = link.errors.get(one.ref);
    const words = one.working ? "a turn runs" : one.running ? "running" : "parked";
    return html`<tr role="row" data-ref=${one.ref}>
      <td role="cell" class="sw-boxes-ref"><b>${line(provider, 40)}</b><span class="sw-mono sw-dim">${line(id, 80)}</span></td>
      <td role="cell" class="sw-boxes-session" data-name="session"><bdi>${line(one.session, 128) || "–"}</bdi>${one.wanted ? nothing : html`<span class="sw-warn sw-boxes-orphan">no session refers to it</span>`}</td>
      <td role="cell" class="sw-boxes-state"><span class="sw-boxes-dot" data-running=${one.running} aria-hidden="true"></span>${words}</td>
      <td role="cell" data-name="deadline" class=${left?.near ? "sw-warn" : ""} title=${one.deadline === null ? "" : moment(one.deadline)}>${left?.words ?? none()}</td>
      <td role="cell" data-name="age" title=${moment(one.created)}>${span((link.now() - one.created) / 1000)}</td>
      <td role="cell" data-name="ran">${one.ran || none()}</td>
      <td role="cell" data-name="cost">${one.cost || none()}</td>
      <td role="cell" data-name="owner" class="sw-boxes-owner" title=${line(one.owner, 200)}>${line(one.owner, 200) || none()}</td>
      <td role="cell" class="sw-boxes-actions">${actions(one)}</td>
    </tr>
    ${link.asked?.ref === one.ref ? question(one, link.asked.action) : nothing}
    ${error ? html`<tr role="row" class="sw-boxes-more sw-boxes-error"><td role="cell" colspan="9"><div role="alert">${icon("alert")}<span>${visible(error.slice(0, 2000))}</span></div></td></tr>` : nothing}`;
  }

  function actions(one: Sandbox): TemplateResult {
    const doing = link.doing.get(one.ref);
    if (doing) return html`<span class="sw-boxes-doing" role="status">${spinner()}${DOING[doing]}</span>`;
    return html`${button(one, "park", "Park", !one.running)}${button(one, "destroy", "Destroy", false)}`;
  }

  function button(one: Sandbox, action: Action, words: string, off: boolean): TemplateResult {
    return html`<button type="button" class="sw-button" data-action=${action} aria-label="${words} ${one.ref}"
      ?disabled=${off || link.state === "gone"} @click=${() => begin(one, action)}>${words}</button>`;
  }

  function question(one: Sandbox, action: Action): TemplateResult {
    const loss = action === "park" ? "A turn runs in it, and would fail." : `${one.working ? "A turn runs in it. " : ""}Its files that are saved nowhere else are lost.`;
    return html`<tr role="row" class="sw-boxes-more"><td role="cell" colspan="9"><div class="sw-boxes-ask" role="group" aria-label="${loss}"
      @keydown=${(event: KeyboardEvent) => event.key === "Escape" && keep(one, action)}>
      <span>${icon("alert")}${loss}</span>
      <button type="button" class="sw-button sw-boxes-sure" @click=${() => link.act(one.ref, action)}>${action === "park" ? "Park it" : "Destroy it"}</button>
      <button type="button" class="sw-button sw-boxes-keep" @click=${() => keep(one, action)}>Keep it</button>
    </div></td></tr>`;
  }

  /** Do what loses nothing; ask before the rest. */
  function begin(one: Sandbox, action: Action): void {
    if (action === "park" && !one.working) return void link.act(one.ref, action);
    link.asked = { ref: one.ref, action };
    draw();
    root.querySelector<HTMLElement>(".sw-boxes-keep")?.focus();
  }

  function keep(one: Sandbox, action: Action): void {
    link.asked = undefined;
    draw();
    within(one.ref, `[data-action="${action}"]`)?.focus();
  }

  function within(ref: string, selector: string): HTMLElement | null {
    const rows = [...root.querySelectorAll<HTMLElement>("tr[data-ref]")];
    return rows.find((each) => each.dataset["ref"] === ref)?.querySelector(selector) ?? null;
  }

  return () => {
    clearInterval(tick);
    unsubscribe();
    root.remove();
  };
}

function none(): TemplateResult {
  return html`<span class="sw-dim" aria-label="unknown">–</span>`;
}

function span(seconds: number): string {
  for (const [size, unit] of UNITS) if (seconds >= 2 * size) return `${Math.round(seconds / size)} ${unit}`;
  return `${Math.max(0, Math.round(seconds))} s`;
}
