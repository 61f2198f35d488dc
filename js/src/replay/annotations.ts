// What people and functions have said of a step: below the step, with a form for one more.
import { html, nothing, type TemplateResult } from "lit-html";
import { icon } from "../lib/icons.ts";
import type { Step } from "../lib/protocol.ts";
import type { Rpc } from "../lib/rpc.ts";
import { line } from "../lib/text.ts";

export interface Annotation {
  id: string;
  turn: number;
  step: number;
  /** The last step of a span, as "turn/index". */
  until: string | null;
  label: string;
  note: string | null;
  author: string;
}

interface Known {
  annotations: Annotation[];
  labels: string[];
}

export class Annotations {
  /** null: the session is in no store. */
  known: Known | null | undefined;
  /** Why the newest change failed. */
  problem: string | undefined;

  constructor(private readonly rpc: Rpc, private readonly changed: () => void) {}

  load(): Promise<boolean> {
    return this.ask("annotations", {});
  }

  add(step: Step, label: string, note: string, until: string): Promise<boolean> {
    return this.ask("annotate", { turn: step.turn, step: step.index, label, note, until });
  }

  remove(id: string): Promise<boolean> {
    return this.ask("unannotate", { id });
  }

  private async ask(op: string, args: Record<string, unknown>): Promise<boolean> {
    try {
      this.known = (await this.rpc.call<Known | null>(op, args)).value;
      this.problem = undefined;
    } catch (error) {
      this.problem = (error as Error).message;
    }
    this.changed();
    return this.problem === undefined;
  }
}

/** `begin` is called when a person begins to write. */
export function annotationsOf(all: Annotations, step: Step, begin: () => void): TemplateResult | typeof nothing {
  const { known, problem } = all;
  if (!known) return nothing;
  const own = known.annotations.filter((one) => one.turn === step.turn && one.step === step.index);
  const list = `sw-labels-${step.turn}-${step.index}`;
  return html`<section class="sw-rep-said" aria-label="Annotations of this step">
    ${own.map((one) => html`<div class="sw-rep-said-row"><span class="sw-tag">${line(one.label, 200)}</span><span class="sw-rep-said-note">${one.note ? line(one.note, 400) : nothing}
        <span class="sw-dim">${one.until ? `to ${line(one.until, 40)} · ` : ""}${line(one.author, 60)}</span></span>
      <button type="button" class="sw-ghost" aria-label="Remove ${line(one.label, 60)}" title="Remove" @click=${() => void all.remove(one.id)}>${icon("cross")}</button></div>`)}
    <form class="sw-rep-say" @focusin=${begin} @submit=${(event: SubmitEvent) => void submit(event, all, step)}>
      <input name="label" required maxlength="200" placeholder="Label" aria-label="Label" list=${list} autocomplete="off">
      <datalist id=${list}>${known.labels.map((label) => html`<option value=${label}></option>`)}</datalist>
      <input name="note" maxlength="2000" placeholder="Note" aria-label="Note" autocomplete="off">
      <input name="until" maxlength="24" placeholder="to step" aria-label="Last step of a span, such as ${step.turn}/${step.index + 3}" title="Last step of a span, such as ${step.turn}/${step.index + 3}" autocomplete="off">
      <button type="submit">Annotate</button>
    </form>
    ${problem ? html`<div class="sw-bad" role="alert">${line(problem, 300)}</div>` : nothing}
  </section>`;
}

async function submit(event: SubmitEvent, all: Annotations, step: Step): Promise<void> {
  event.preventDefault();
  const form = event.currentTarget as HTMLFormElement;
  const given = new FormData(form);
  const text = (name: string) => String(given.get(name) ?? "");
  if (await all.add(step, text("label"), text("note"), text("until"))) form.reset();
}
