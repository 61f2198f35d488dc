// The permission policy: always visible, and changed here.
import { html, nothing, type TemplateResult } from "lit-html";
import { live } from "lit-html/directives/live.js";
import type { Client } from "../lib/client.ts";
import { icon } from "../lib/icons.ts";
import { POLICIES, policyOf } from "../lib/policy.ts";

export class PolicyPicker {
  /** A choice being sent to the kernel. */
  private choosing: string | undefined;

  constructor(private client: Client, private complain: (error: Error) => void) {}

  view(): TemplateResult | typeof nothing {
    const { session, state } = this.client;
    if (!session) return nothing;
    const current = policyOf(this.choosing ?? session.permissions);
    const own = !POLICIES.includes(current);
    return html`<label class="sw-pick sw-policy" data-policy=${current.id} data-off=${String(own || state !== "live")} title="Permissions: ${current.title}" aria-busy=${String(this.choosing !== undefined)}>
      ${icon("shield")}<span class="sw-policy-words" aria-hidden="true"><bdi>${current.words}</bdi></span>${own ? nothing : icon("chevron", "sw-pick-sign")}
      <select data-testid="pick-permissions" aria-label="Permissions" ?disabled=${own || state !== "live"}
        .value=${live(current.id)} @change=${(event: Event) => this.choose((event.target as HTMLSelectElement).value)}>
        ${(own ? [current] : POLICIES).map(({ id, words, title }) => html`<option value=${id} title=${title} ?selected=${id === current.id}>${words}</option>`)}
      </select>
    </label>`;
  }

  private async choose(value: string): Promise<void> {
    this.choosing = value;
    this.client.changed();
    try {
      await this.client.rpc.call("choose", { name: "permissions", value }, 0);
    } catch (error) {
      this.complain(error as Error);
    }
    this.choosing = undefined;
    this.client.changed();
  }
}
