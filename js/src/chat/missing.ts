// The missing requirements of the harness, with their remedies.
import { html, nothing, type TemplateResult } from "lit-html";
import type { Client } from "../lib/client.ts";
import { copyButton } from "../lib/dom.ts";
import { icon, spinner } from "../lib/icons.ts";
import type { Missing as Lack } from "../lib/protocol.ts";
import { line, visible } from "../lib/text.ts";

export class Missing {
  private installing = false;
  private error: string | undefined;

  /** `done` is called after an installation from this card. */
  constructor(private client: Client, private done: () => void) {}

  view(): TemplateResult | typeof nothing {
    const { session } = this.client;
    if (!session?.missing) return nothing;
    const title = line(session.agent.title, 60);
    const { install, keys } = session.missing;
    return html`<div class="sw-missing" role="group" aria-label="${title} cannot start yet">
      ${install ? this.install(title, line(session.agent.version, 40)) : nothing}
      ${keys.length ? key(title, keys) : nothing}
    </div>`;
  }

  private install(title: string, version: string): TemplateResult {
    const words = this.installing ? this.client.activity : undefined;
    return html`<div class="sw-missing-part">
      ${icon("download")}
      <div><strong>${title} is not installed</strong>
        <p role="status">${this.installing
          ? html`${spinner()} <span>${line(words ?? "Installing", 160)}…</span>`
          : "It is installed in the data directory of session-widgets. Nothing else on this machine changes."}</p>
        ${this.error ? html`<div class="sw-missing-error" role="alert">${visible(this.error)}</div>` : nothing}
      </div>
      <button type="button" class="sw-button" data-testid="install" ?disabled=${this.installing || this.client.state !== "live"}
        @click=${() => this.run()}>${this.error ? "Try again" : `Install${version ? ` ${version}` : ""}`}</button>
    </div>`;
  }

  private async run(): Promise<void> {
    if (this.installing) return;
    this.installing = true;
    this.error = undefined;
    this.client.changed();
    try {
      await this.client.rpc.call("install", {}, 0);
      this.done();
    } catch (error) {
      this.error = (error as Error).message;
    }
    this.installing = false;
    this.client.changed();
  }
}

/** The name of the missing key and how to set it; the page never handles its value. */
function key(title: string, [first = "", ...others]: Lack["keys"]): TemplateResult {
  const code = `import os, getpass\nos.environ["${first}"] = getpass.getpass()`;
  const names = others.map((name, i) => html`${i ? ", " : ""}<code>${line(name, 80)}</code>`);
  return html`<div class="sw-missing-part">
    ${icon("key")}
    <div><strong>${title} needs a key: <code>${line(first, 80)}</code></strong>
      <p>Run this in a cell, then send again. The sandbox receives the key in a file that only your user can read; no transcript contains it.${others.length ? html` ${names} can be used instead.` : nothing}</p>
      <div class="sw-missing-code"><pre tabindex="0" aria-label="Python that asks for the key">${visible(code)}</pre>${copyButton(() => code, "Copy")}</div>
    </div>
  </div>`;
}
