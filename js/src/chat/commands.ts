// The agent's own commands, listed while a prompt begins with "/".
import { html, nothing, type TemplateResult } from "lit-html";
import type { Command } from "../lib/protocol.ts";
import { line } from "../lib/text.ts";

const SHOWN = 8;

/** The commands that begin with the text in the composer. */
export function matching(commands: Command[], text: string): Command[] {
  const typed = /^\/(\S*)$/.exec(text)?.[1];
  if (typed === undefined) return [];
  const found = commands.filter(({ name }) => name.toLowerCase().startsWith(typed.toLowerCase()));
  return found.length === 1 && found[0]?.name === typed ? [] : found.slice(0, SHOWN);
}

export function list(found: Command[], active: number, choose: (command: Command) => void): TemplateResult | typeof nothing {
  if (!found.length) return nothing;
  return html`<div class="sw-commands" role="listbox" aria-label="Commands of the agent" id="sw-commands">
    ${found.map((command, i) => html`<button type="button" role="option" tabindex="-1" class="sw-command-item" aria-selected=${String(i === active)}
      @pointerdown=${(event: Event) => event.preventDefault()} @click=${() => choose(command)}>
      <b>/${line(command.name, 60)}</b>${command.hint === null ? nothing : html`<i>${line(command.hint, 60)}</i>`}<span>${line(command.description, 160)}</span>
    </button>`)}
  </div>`;
}
