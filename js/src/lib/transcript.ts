// The part of a session that a page holds: the newest steps, in order. Pure: no DOM, no clock.
// Every change replaces the changed objects, so that a view redraws by identity.
import type { Item, Page, Step, Text, Turn } from "./protocol.ts";

/** Steps that a page keeps while it follows the end; older ones are fetched again. */
export const WINDOW = 160;

export interface Section {
  index: number;
  turn: Turn | undefined;
  steps: Step[];
}

export class Transcript {
  sections: Section[] = [];
  earlier = false;

  get size(): number {
    return this.sections.reduce((sum, section) => sum + section.steps.length, 0);
  }

  get first(): Step | undefined {
    return this.sections.find((section) => section.steps.length)?.steps[0];
  }

  get last(): Section | undefined {
    return this.sections.at(-1);
  }

  /** The running turn, if any. */
  get running(): Section | undefined {
    const last = this.last;
    return last?.turn?.status === "running" ? last : undefined;
  }

  /** Tool calls that wait for a permission. */
  get pending(): Step[] {
    return this.sections.flatMap((section) =>
      section.steps.filter((step) => step.tool?.permission && step.tool.permission.outcome === null),
    );
  }

  /** Questions that wait for an answer. */
  get questions(): Step[] {
    return this.sections.flatMap((section) =>
      section.turn?.status === "running" ? section.steps.filter((step) => step.question && step.status === "pending") : [],
    );
  }

  replace(page: Page): void {
    this.sections = [];
    this.prepend(page);
  }

  /** Add a page of older steps. */
  prepend(page: Page): void {
    this.earlier = false; // these steps close the gap
    for (const turn of page.turns) this.putTurn(turn);
    for (const step of page.steps) this.put(step);
    this.earlier = page.earlier;
  }

  /** Apply one change; returns whether it belongs to the transcript. */
  apply(item: Item): boolean {
    if (item.type === "turn") this.putTurn(item.turn);
    else if (item.type === "step") this.put(item.step);
    else if (item.type === "append") this.append(item);
    else return false;
    return true;
  }

  /** Drop the oldest steps beyond the window. */
  trim(): void {
    let surplus = this.size - WINDOW;
    while (surplus > 0 && this.sections[0]) {
      const section = this.sections[0];
      const dropped = Math.min(surplus, section.steps.length);
      surplus -= dropped;
      this.earlier = true;
      if (dropped === section.steps.length) this.sections = this.sections.slice(1);
      else this.sections = [{ ...section, steps: section.steps.slice(dropped) }, ...this.sections.slice(1)];
    }
  }

  private putTurn(turn: Turn): void {
    this.change(turn.turn, (section) => ({ ...section, turn }));
  }

  private put(step: Step): void {
    if (this.isBefore(step)) return;
    this.change(step.turn, (section) => ({ ...section, steps: placed(section.steps, step) }));
  }

  private append(item: Extract<Item, { type: "append" }>): void {
    const section = this.sections.find((section) => section.index === item.turn);
    const step = section?.steps.find((step) => step.index === item.index);
    if (!step?.body) return;
    const body: Text = { text: step.body.text + item.text, length: item.length };
    if (item.tail) body.tail = item.tail;
    this.put({ ...step, body, ended: item.at });
  }

  /** An old step outside the window is not added: it would leave a gap before the window. */
  private isBefore(step: Step): boolean {
    const first = this.first;
    if (!first || !this.earlier) return false;
    return step.turn < first.turn || (step.turn === first.turn && step.index < first.index);
  }

  private change(index: number, alter: (section: Section) => Section): void {
    const at = this.sections.findLastIndex((section) => section.index <= index);
    const found = this.sections[at];
    if (found?.index === index) this.sections = this.sections.with(at, alter(found));
    else this.sections = this.sections.toSpliced(at + 1, 0, alter({ index, turn: undefined, steps: [] }));
  }
}

function placed(steps: Step[], step: Step): Step[] {
  const at = steps.findLastIndex((other) => other.index <= step.index);
  return steps[at]?.index === step.index ? steps.with(at, step) : steps.toSpliced(at + 1, 0, step);
}
