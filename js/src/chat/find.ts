// Finding a text in the session: the kernel searches, the chat goes from step to step. Ctrl+F opens it, because the browser's
// own search sees only the rows in view.
import { html, nothing, type TemplateResult } from "lit-html";
import { live } from "lit-html/directives/live.js";
import type { Client } from "../lib/client.ts";
import { icon, spinner } from "../lib/icons.ts";
import { line } from "../lib/text.ts";
import type { Cursor } from "../lib/transcript.ts";

const TYPING = 250;

interface Found {
  steps: Cursor[];
  complete: boolean;
}

export class Finder {
  open = false;
  text = "";
  private found: Found | undefined;
  private at = -1;
  private asked = "";
  private asking = false;
  private problem = "";
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** `go` leads to a step; `from` is the first step in view, undefined at the end of the session. */
  constructor(private client: Client, private redraw: () => void, private go: (step: Cursor | undefined) => void, private from: () => Cursor | undefined) {}

  dispose(): void {
    clearTimeout(this.timer);
  }

  close(): void {
    this.open = false;
    this.go(undefined);
    this.redraw();
  }

  view(): TemplateResult | typeof nothing {
    if (!this.open) return nothing;
    const { found, at } = this;
    const words = this.problem ? this.problem : found ? (found.steps.length ? `${at + 1} of ${found.steps.length.toLocaleString("en")}${found.complete ? "" : "+"}` : "No hits") : "";
    return html`<div class="sw-find" role="search" @keydown=${this.keys}>
      <label class="sw-find-box">${icon("search")}<input type="text" aria-label="Find in this session" placeholder="Find in this session" spellcheck="false" autocomplete="off" .value=${live(this.text)}
        @input=${(event: Event) => this.type((event.target as HTMLInputElement).value)} /></label>
      <span class="sw-find-words ${this.problem ? "sw-bad" : "sw-dim"}" role="status" title=${line(words, 300)}>${this.asking ? spinner() : line(words, 60)}</span>
      <button type="button" class="sw-ghost sw-find-up" title="Previous step (Shift Enter)" aria-label="Previous step" ?disabled=${!found?.steps.length} @click=${() => void this.next(-1)}>${icon("down")}</button>
      <button type="button" class="sw-ghost" title="Next step (Enter)" aria-label="Next step" ?disabled=${!found?.steps.length} @click=${() => void this.next(1)}>${icon("down")}</button>
      <button type="button" class="sw-ghost" title="Close (Esc)" aria-label="Close" @click=${() => this.close()}>${icon("cross")}</button>
    </div>`;
  }

  private keys = (event: KeyboardEvent): void => {
    if (event.key === "Escape") this.close();
    else if (event.key === "Enter" && (event.target as HTMLElement).tagName === "INPUT") void this.next(event.shiftKey ? -1 : 1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  private type(text: string): void {
    this.text = text;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.ask(), TYPING);
    this.redraw();
  }

  private async next(by: 1 | -1): Promise<void> {
    if (this.asked !== this.key) return this.ask();
    const count = this.found?.steps.length ?? 0;
    if (count) this.show((this.at + by + count) % count);
  }

  /** Another text, or new steps, need another search. */
  private get key(): string {
    return `${this.client.transcript.count} ${this.text}`;
  }

  private async ask(): Promise<void> {
    clearTimeout(this.timer);
    const { text } = this;
    this.asked = this.key;
    this.problem = "";
    this.found = undefined;
    if (!text.trim()) return this.redraw();
    this.asking = true;
    this.redraw();
    try {
      const { value } = await this.client.rpc.call<Found>("find", { text });
      if (text !== this.text) return;
      this.found = value;
      const from = this.from();
      const after = from ? value.steps.findIndex(([turn, index]) => turn > from[0] || (turn === from[0] && index >= from[1])) : value.steps.length - 1;
      this.show(after < 0 ? value.steps.length - 1 : after);
    } catch (error) {
      this.problem = (error as Error).message;
    } finally {
      if (text === this.text) this.asking = false;
      this.redraw();
    }
  }

  private show(place: number): void {
    this.at = place;
    const step = this.found?.steps[place];
    if (step) this.go(step);
    this.redraw();
  }
}
