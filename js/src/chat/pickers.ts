// Mode, model and effort, below the composer.
import { html, nothing, type TemplateResult } from "lit-html";
import { live } from "lit-html/directives/live.js";
import type { Client } from "../lib/client.ts";
import { icon } from "../lib/icons.ts";
import type { SettingName } from "../lib/protocol.ts";
import { type Picker, pickersOf } from "../lib/settings.ts";
import { line } from "../lib/text.ts";

export class Pickers {
  /** Choices being sent to the kernel. */
  private choosing = new Map<SettingName, string>();

  constructor(private client: Client, private complain: (error: Error) => void) {}

  view(): TemplateResult | typeof nothing {
    const { client } = this;
    if (!client.session) return nothing;
    const pickers = pickersOf(client.session, client.settings, client.transcript.running !== undefined);
    return pickers.length ? html`<div class="sw-picks" role="group" aria-label="Settings of the agent">${pickers.map((one) => this.picker(one))}</div>` : nothing;
  }

  /** An invisible list covers the visible text, so that the picker is as wide as its text. */
  private picker(picker: Picker): TemplateResult {
    const chosen = this.choosing.get(picker.name);
    const value = chosen ?? picker.value;
    const words = chosen === undefined ? picker.words : line(picker.choices.find(({ id }) => id === chosen)?.name ?? chosen, 60);
    const off = picker.reason !== undefined || this.client.state !== "live";
    return html`<label class="sw-pick" data-off=${String(off)} title=${picker.title} aria-busy=${String(chosen !== undefined)}>
      ${picker.reason === undefined && picker.name === "mode" ? html`<span class="sw-pick-label" aria-hidden="true">Mode</span>` : nothing}
      <span class="sw-pick-words" aria-hidden="true"><bdi>${words}</bdi></span>${icon("chevron", "sw-pick-sign")}
      <select data-testid="pick-${picker.name}" aria-label=${picker.label} aria-description=${picker.reason ?? nothing} ?disabled=${off}
        .value=${live(value)} @change=${(event: Event) => this.choose(picker, event.target as HTMLSelectElement)}>
        ${picker.choices.length
          ? html`${value ? nothing : html`<option value="" disabled selected>Default</option>`}
            ${picker.choices.map(({ id, name, description }) => html`<option value=${id} title=${line(description, 300)} ?selected=${id === value}>${line(name, 80)}</option>`)}`
          : html`<option value="" selected>${words}</option>`}
      </select>
    </label>`;
  }

  private async choose({ name }: Picker, select: HTMLSelectElement): Promise<void> {
    const { value } = select;
    this.choosing.set(name, value);
    this.client.changed();
    try {
      await this.client.rpc.call("choose", { name, value }, 0);
    } catch (error) {
      this.complain(error as Error);
    }
    if (this.choosing.get(name) === value) this.choosing.delete(name);
    this.client.changed();
  }
}
