// The transcript of a chat as lines to draw: prompts, memory, steps, the ends of turns. Those of steps that the page does
// not hold have their places too, so that the scrollbar spans the whole session. Pure: no DOM, no clock.
import type { Step, Turn } from "../lib/protocol.ts";
import type { Cursor, Section, Transcript } from "../lib/transcript.ts";

export type Line =
  | { kind: "activity" | "outgoing" }
  | { kind: "step"; step: Step; begins: boolean }
  | { kind: "missing"; begins: boolean }
  | { kind: "memory"; turn: Turn }
  | { kind: "end"; turn: Turn; last: boolean; prompt: Step | undefined }
  | { kind: "none" };

export interface Around {
  /** A card below the transcript lists the missing requirements of the harness. */
  missing: boolean;
  /** The running turn does something that no step shows. */
  activity: boolean;
  /** A prompt is on its way to the kernel. */
  outgoing: boolean;
}

/** Lines of a turn besides its steps: its memory, and its end. */
const MORE = 2;
/** Larger than the lines of any turn. */
const SPAN = 2 ** 22;
const NONE: Line = { kind: "none" };

export class Lines {
  readonly count: number;
  /** The first line of each turn, and the number of all. */
  private readonly starts: number[] = [0];
  private readonly extra: ("activity" | "outgoing")[];
  private latest = 0;

  constructor(private readonly transcript: Transcript, private readonly around: Around) {
    let sum = 0;
    for (const { count } of transcript.sections) this.starts.push((sum += count + MORE));
    this.extra = [...(around.activity ? ["activity" as const] : []), ...(around.outgoing ? ["outgoing" as const] : [])];
    this.count = sum + this.extra.length;
  }

  /** The same for the same line, whatever is put before it. */
  key(place: number): number | string {
    const [section, offset] = this.find(place);
    if (!section) return this.extra[offset] ?? place;
    const index = this.indexAt(section, offset);
    return section.index * SPAN + (index === undefined ? (this.isEnd(section, offset) ? 1 : 0) : index + MORE);
  }

  at(place: number): Line {
    const [section, offset] = this.find(place);
    if (!section) return this.extra[offset] ? { kind: this.extra[offset] } : NONE;
    const { turn, steps } = section;
    const index = this.indexAt(section, offset);
    if (index !== undefined) {
      const step = this.transcript.step([section.index, index]);
      if (!step) return { kind: "missing", begins: index === 0 };
      return this.isSaid(section, step) ? NONE : { kind: "step", step, begins: index === 0 && step.kind === "user" };
    }
    if (!turn) return NONE;
    if (!this.isEnd(section, offset)) return { kind: "memory", turn };
    const prompt = steps[0]?.index === 0 && steps[0].kind === "user" ? steps[0] : undefined;
    return { kind: "end", turn, last: section === this.transcript.last, prompt };
  }

  /** The height of a line that was not drawn yet, in pixels. */
  estimate(place: number): number {
    const [section, offset] = this.find(place);
    if (!section) return 30;
    return this.indexAt(section, offset) !== undefined ? 40 : this.isEnd(section, offset) ? 48 : 0;
  }

  /** The line of a step; -1 if there is none. */
  place([turn, index]: Cursor): number {
    const section = this.transcript.section(turn);
    if (!section || index < 0 || index >= section.count) return -1;
    const offset = index === 0 ? (this.leads(section) ? 0 : 1) : index + 1;
    return this.starts[this.transcript.sections.indexOf(section)]! + offset;
  }

  /** The first and the last step of these lines. */
  cursors(first: number, last: number): [Cursor, Cursor] | undefined {
    const [from, to] = [this.cursor(first), this.cursor(last)];
    return from && to ? [from, to] : undefined;
  }

  /** The first and the last step among these lines that the page does not hold. */
  missing(first: number, last: number): [Cursor, Cursor] | undefined {
    let found: [Cursor, Cursor] | undefined;
    for (let place = Math.max(0, first); place <= Math.min(last, this.count - 1); place++) {
      const [section, offset] = this.find(place);
      const index = section && this.indexAt(section, offset);
      if (!section || index === undefined || this.transcript.step([section.index, index])) continue;
      const cursor: Cursor = [section.index, index];
      found = [found?.[0] ?? cursor, cursor];
    }
    return found;
  }

  private cursor(place: number): Cursor | undefined {
    const [section, offset] = this.find(Math.min(place, (this.starts.at(-1) ?? 0) - 1));
    return section ? [section.index, Math.min(this.indexAt(section, offset) ?? 0, Math.max(0, section.count - 1))] : undefined;
  }

  /** The turn of a line and its place there; without a turn, its place among the lines behind all turns. */
  private find(place: number): [Section | undefined, number] {
    const { sections } = this.transcript;
    const { starts } = this;
    if (!(starts[this.latest]! <= place && place < (starts[this.latest + 1] ?? 0))) {
      let [low, high] = [0, sections.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (starts[middle + 1]! <= place) low = middle + 1;
        else high = middle;
      }
      this.latest = low;
    }
    return [sections[this.latest], place - (starts[this.latest] ?? 0)];
  }

  /** The prompt leads a turn, before the line of its memory. */
  private leads({ count, steps }: Section): boolean {
    return count > 0 && (steps[0]?.index !== 0 || steps[0].kind === "user");
  }

  private indexAt(section: Section, offset: number): number | undefined {
    if (this.isEnd(section, offset)) return undefined;
    if (offset > 1) return offset - 1;
    return (offset === 0) === this.leads(section) && section.count > 0 ? 0 : undefined;
  }

  private isEnd({ count }: Section, offset: number): boolean {
    return offset === count + MORE - 1;
  }

  /** Whether an error is said elsewhere: by another error of the turn, as when an agent's exit fails it, or by the card below. */
  private isSaid(section: Section, step: Step): boolean {
    if (step.kind !== "error") return false;
    if (section === this.transcript.last && this.around.missing && section.turn?.status === "failed") return true;
    return section.steps.some((other) => other.kind === "error" && other !== step && tells(other, step) && (!tells(step, other) || other.index < step.index));
  }
}

/** Whether one error contains the other. */
function tells(one: Step, other: Step): boolean {
  return (one.body?.text ?? "").includes((other.body?.text ?? "").trim().replace(/\.$/, ""));
}
