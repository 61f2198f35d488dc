// The composer. Its text survives a redraw, a second view and a reload of the page.
import { html, nothing, type TemplateResult } from "lit-html";
import { live } from "lit-html/directives/live.js";
import type { Client } from "../lib/client.ts";
import { icon } from "../lib/icons.ts";
import type { Command } from "../lib/protocol.ts";
import { line, visible } from "../lib/text.ts";
import { list, matching } from "./commands.ts";
import { Missing } from "./missing.ts";
import { Pickers } from "./pickers.ts";
import { PolicyPicker } from "./policy.ts";

export class Composer {
  /** A prompt being sent, and the turn that it started. */
  outgoing: { text: string; turn: number | undefined } | undefined;
  private text = "";
  private queue: string[] = [];
  private error: string | undefined;
  private stopping = false;
  /** The listed command that Enter takes; none after Escape has closed the list. */
  private command = 0;
  private away = false;
  private wasRunning = false;
  private pickers: Pickers;
  private policy: PolicyPicker;
  private missing: Missing;

  constructor(private client: Client) {
    this.text = recall(this.key) ?? "";
    this.pickers = new Pickers(client, (error) => this.complain(error));
    this.policy = new PolicyPicker(client, (error) => this.complain(error));
    this.missing = new Missing(client, () => this.offerAgain());
  }

  /** Follow the transcript: a stored prompt is no longer outgoing; a queued prompt is sent when the turn ends. */
  follow(): void {
    const { transcript } = this.client;
    const { outgoing } = this;
    if (outgoing?.turn !== undefined && transcript.sections.some((section) => section.index >= (outgoing.turn ?? 0))) {
      this.outgoing = undefined;
    }
    const running = transcript.running !== undefined;
    if (this.wasRunning && !running) {
      this.stopping = false;
      if (transcript.last?.turn?.status === "completed") this.sendNext();
      else this.recover();
    }
    this.wasRunning = running;
  }

  suggest(text: string): void {
    this.write(text);
    this.client.changed();
  }

  view(): TemplateResult {
    const running = this.client.transcript.running !== undefined;
    const ready = this.client.state === "live";
    return html`<div class="sw-composer">
      ${this.missing.view()}
      ${this.queue.map((text, i) => this.queued(text, i))}
      ${this.error ? html`<div class="sw-complaint" role="alert">${icon("alert")}<span>${visible(this.error)}</span></div>` : nothing}
      ${list(this.commands, this.command, (one) => this.take(one))}
      <div class="sw-box">
        <textarea rows="1" aria-label="Prompt" data-testid="composer" dir="auto" spellcheck="false" aria-controls=${this.commands.length ? "sw-commands" : nothing}
          placeholder=${running ? "Write the next prompt…" : "Ask the agent to do something…"}
          .value=${live(this.text)} @input=${this.input} @keydown=${this.keydown}></textarea>
        ${running && !this.text.trim()
          ? html`<button type="button" class="sw-round sw-stop" title="Stop (Escape)" aria-label="Stop" data-testid="stop"
              ?disabled=${this.stopping || !ready} @click=${this.stop}>${icon("stop")}</button>`
          : html`<button type="button" class="sw-round" title=${running ? "Send when this turn has ended (Enter)" : "Send (Enter)"}
              aria-label=${running ? "Queue" : "Send"} data-testid="send" ?disabled=${!this.text.trim() || !ready || this.outgoing}
              @click=${this.submit}>${icon("send")}</button>`}
      </div>
      <div class="sw-bar">
        ${this.policy.view()}${this.pickers.view()}
        <div class="sw-hint" aria-hidden="true">${running
          ? this.stopping ? "Stopping…" : html`<kbd>Esc</kbd> stops · <kbd>Enter</kbd> queues`
          : html`<kbd>Enter</kbd> sends<span class="sw-hint-more"> · <kbd>Shift</kbd> <kbd>Enter</kbd> breaks the line</span>`}</div>
      </div>
    </div>`;
  }

  private queued(text: string, index: number): TemplateResult {
    const drop = () => {
      this.queue.splice(index, 1);
      this.client.changed();
    };
    const edit = () => {
      this.queue.splice(index, 1);
      this.write([text, this.text].filter(Boolean).join("\n"));
      this.client.changed();
    };
    return html`<div class="sw-queued">
      ${icon("clock")}<span class="sw-hidden">Queued: </span><button type="button" class="sw-link" title="Edit" @click=${edit}>${line(text, 160)}</button>
      <button type="button" class="sw-ghost" title="Remove" aria-label="Remove from the queue" @click=${drop}>${icon("cross")}</button>
    </div>`;
  }

  private get commands(): Command[] {
    return this.away ? [] : matching(this.client.commands, this.text);
  }

  private take({ name }: Command): void {
    this.write(`/${name} `);
    this.client.changed();
  }

  /** Handle a key of the command list; returns whether the list used it. */
  private walk(event: KeyboardEvent): boolean {
    const found = this.commands;
    const chosen = found[this.command];
    if (!chosen) return false;
    if (event.key === "ArrowDown") this.command = (this.command + 1) % found.length;
    else if (event.key === "ArrowUp") this.command = (this.command + found.length - 1) % found.length;
    else if (event.key === "Escape") this.away = true;
    else if (event.key === "Tab" || (event.key === "Enter" && !event.shiftKey)) this.take(chosen);
    else return false;
    event.preventDefault();
    this.client.changed();
    return true;
  }

  private input = (event: Event): void => {
    const area = event.target as HTMLTextAreaElement;
    this.write(area.value);
    this.error = undefined;
    this.command = 0;
    this.away = false;
    this.client.changed();
  };

  private keydown = (event: KeyboardEvent): void => {
    if (!event.isComposing && this.walk(event)) return;
    if (event.key === "Escape" && this.client.transcript.running) this.stop();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.submit();
  };

  /** Send the prompt of a failed turn again. */
  retry(text: string): void {
    if (this.client.state !== "live" || this.outgoing || this.client.transcript.running) return;
    void this.send(text);
    this.client.changed();
  }

  private submit = (): void => {
    const text = this.text.trim();
    if (!text || this.client.state !== "live" || this.outgoing) return;
    this.write("");
    if (this.client.transcript.running) this.queue.push(text);
    else void this.send(text);
    this.client.changed();
  };

  private stop = (): void => {
    this.stopping = true;
    this.client.rpc.call("cancel", {}, 0).catch((error: Error) => this.complain(error));
    this.client.changed();
  };

  private sendNext(): void {
    const next = this.queue.shift();
    if (next) void this.send(next);
  }

  private recover(): void {
    if (!this.queue.length) return;
    this.write([...this.queue, this.text].filter(Boolean).join("\n\n"));
    this.queue = [];
  }

  /** Put a prompt that failed because the harness was missing back into the composer. */
  private offerAgain(): void {
    const last = this.client.transcript.last;
    const prompt = last?.turn?.status === "failed" ? last.steps.find((step) => step.kind === "user")?.body : undefined;
    if (prompt && !this.text.trim() && prompt.text.length === prompt.length) this.write(prompt.text);
  }

  private async send(text: string): Promise<void> {
    const outgoing: Composer["outgoing"] = { text, turn: undefined };
    this.outgoing = outgoing;
    try {
      const key = `page-${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
      const { value } = await this.client.rpc.call<{ turn: number }>("start", { prompt: text, key }, 0);
      outgoing.turn = value.turn;
    } catch (error) {
      this.outgoing = undefined;
      this.write([text, this.text].filter(Boolean).join("\n"));
      this.complain(error as Error);
    }
    this.follow();
    this.client.changed();
  }

  private complain(error: Error): void {
    this.error = error.message;
    this.stopping = false;
    this.client.changed();
  }

  private write(text: string): void {
    this.text = text;
    remember(this.key, text);
  }

  private get key(): string {
    return `session-widgets draft ${String(this.client.model.get("session_id"))}`;
  }
}

function recall(key: string): string | null {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null; // a frame without storage
  }
}

function remember(key: string, text: string): void {
  try {
    if (text) sessionStorage.setItem(key, text);
    else sessionStorage.removeItem(key);
  } catch {
    // a frame without storage, or a full one: the draft lives as long as the page
  }
}
