// The turns of a session with the number of their steps, and the steps that a page holds: the newest ones, and those
// around a view. Pure: no DOM, no clock. Every change replaces the changed sections and steps, so that a view redraws by identity.
import type { Item, Page, Step, Text, Turn } from "./protocol.ts";

/** The newest steps, which a page always holds. */
export const WINDOW = 160;
/** Steps before and behind a view that is scrolled up, which it holds too; and how many it may hold before it drops others. */
const AROUND = 200;
const MOST = 1_000;

/** A step by its turn and index. */
export type Cursor = [turn: number, index: number];

/** A turn; `count` is the number of its steps, `steps` are those that the page holds, in order. */
export interface Section {
  index: number;
  turn: Turn | undefined;
  count: number;
  steps: Step[];
}

export class Transcript {
  readonly sections: Section[] = [];

  /** The number of steps of the session. */
  get count(): number {
    return this.sections.reduce((sum, { count }) => sum + count, 0);
  }

  /** The number of steps that the page holds. */
  get size(): number {
    return this.sections.reduce((sum, { steps }) => sum + steps.length, 0);
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

  /** Start again from the index and the number of steps of each turn, and the newest steps. */
  replace(counts: number[], page: Page): void {
    this.sections.length = 0;
    for (let i = 0; i + 1 < counts.length; i += 2) this.sections.push({ index: counts[i]!, turn: undefined, count: counts[i + 1]!, steps: [] });
    this.add(page);
  }

  /** Add steps that were requested; the page may have received newer forms of them meanwhile. */
  add(page: Page): void {
    for (const turn of page.turns) if (!this.section(turn.turn)?.turn) this.putTurn(turn);
    for (const step of page.steps) if (!this.step([step.turn, step.index])) this.put(step);
  }

  /** A step that the page holds. */
  step([turn, index]: Cursor): Step | undefined {
    const steps = this.section(turn)?.steps ?? [];
    return steps[before(steps, index)]?.index === index ? steps[before(steps, index)] : undefined;
  }

  section(turn: number): Section | undefined {
    const at = before(this.sections, turn);
    return this.sections[at]?.index === turn ? this.sections[at] : undefined;
  }

  /** Apply one change; returns whether it belongs to the transcript. */
  apply(item: Item): boolean {
    if (item.type === "turn") this.putTurn(item.turn);
    else if (item.type === "step") this.put(item.step);
    else if (item.type === "append") this.append(item);
    else return false;
    return true;
  }

  /** Drop steps that are neither among the newest nor around the view. */
  trim(view?: [Cursor, Cursor]): void {
    if (this.size <= (view ? MOST : WINDOW)) return;
    const [first, last] = view ? [this.ordinal(view[0]) - AROUND, this.ordinal(view[1]) + AROUND] : [0, -1];
    const newest = this.count - WINDOW;
    let begin = 0;
    this.sections.forEach((section, at) => {
      const kept = section.steps.filter(({ index }) => {
        const ordinal = begin + index;
        return ordinal >= newest || (ordinal >= first && ordinal <= last);
      });
      if (kept.length < section.steps.length) this.sections[at] = { ...section, steps: kept };
      begin += section.count;
    });
  }

  /** The number of steps before one. */
  private ordinal([turn, index]: Cursor): number {
    let sum = index;
    for (const section of this.sections) {
      if (section.index >= turn) break;
      sum += section.count;
    }
    return sum;
  }

  private putTurn(turn: Turn): void {
    this.change(turn.turn, (section) => ({ ...section, turn }));
  }

  private put(step: Step): void {
    this.change(step.turn, (section) => ({ ...section, count: Math.max(section.count, step.index + 1), steps: placed(section.steps, step) }));
  }

  private append(item: Extract<Item, { type: "append" }>): void {
    const step = this.step([item.turn, item.index]);
    if (!step?.body) return;
    const body: Text = { text: step.body.text + item.text, length: item.length };
    if (item.tail) body.tail = item.tail;
    this.put({ ...step, body, ended: item.at });
  }

  private change(index: number, alter: (section: Section) => Section): void {
    const at = before(this.sections, index);
    const found = this.sections[at];
    if (found?.index === index) this.sections[at] = alter(found);
    else this.sections.splice(at + 1, 0, alter({ index, turn: undefined, count: 0, steps: [] }));
  }
}

/** The place of the last one whose index is at most this; -1 without one. */
function before(sorted: readonly { index: number }[], index: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]!.index <= index) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function placed(steps: Step[], step: Step): Step[] {
  const at = before(steps, step.index);
  return steps[at]?.index === step.index ? steps.with(at, step) : steps.toSpliced(at + 1, 0, step);
}
