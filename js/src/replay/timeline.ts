// The time line: when each event came, where steps begin, what a person looks for. Pure: no DOM, no clock.
import type { TimelineHead } from "./protocol.ts";

export type Unit = "event" | "step" | "turn";

export interface Mark {
  kind: string;
  seq: number;
}

/** Milliseconds of an event where the events have no times of their own. */
const EVEN = 400;

export class Timeline {
  version = 0;
  /** Kernel time of the first event. */
  started: number | null = null;
  kinds: string[] = [];
  marks: Mark[] = [];
  /** `seq` of the event after a long pause, and its seconds. */
  pauses: { seq: number; seconds: number }[] = [];
  private counts = new Map<string, number>();
  private clocks = new Numbers();
  /** `seq` of the last event before the next step, or turn, begins. */
  private stops: Record<"step" | "turn", number[]> = { step: [], turn: [] };
  private steps = new Numbers();

  /** `last`: how many events there are, if that is known before their numbers. */
  constructor(public last = 0) {}

  /** How many events it has the numbers of. */
  get events(): number {
    return this.clocks.length;
  }

  /** What the next `grow` continues. */
  have(): { clock: number; steps: number; marks: number; pauses: number } {
    return { clock: this.clocks.length, steps: this.steps.length / 3, marks: this.marks.length, pauses: this.pauses.length };
  }

  /** Add numbers: clock of each event; turn, index, seq of each step; kind, seq, turn, index of each mark; seq, seconds of each pause. */
  grow(head: TimelineHead, [clock, steps, marks, pauses]: Int32Array[]): void {
    this.version = head.version;
    this.last = head.last;
    this.started = head.started;
    this.kinds = head.marks;
    this.clocks.add(clock ?? new Int32Array());
    this.steps.add(steps ?? new Int32Array());
    for (let i = 0; marks && i < marks.length; i += 4) {
      const kind = this.kinds[marks[i]!] ?? "";
      this.marks.push({ kind, seq: marks[i + 1]! });
      this.counts.set(kind, this.count(kind) + 1);
    }
    for (let i = 0; pauses && i < pauses.length; i += 2) this.pauses.push({ seq: pauses[i]!, seconds: pauses[i + 1]! });
    this.findStops();
  }

  /** The length in milliseconds, without the rest of long pauses. */
  get span(): number {
    return this.time(this.last);
  }

  /** The time of an event. */
  time(seq: number): number {
    if (seq <= 0) return 0;
    return this.timed ? this.clocks.at(Math.min(seq, this.clocks.length) - 1) : (Math.min(seq, this.last) - 1) * EVEN;
  }

  /** The latest event at or before a time. */
  seqAt(time: number): number {
    if (!this.last) return 0;
    let [low, high] = [1, this.last];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.time(middle) <= time) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** The place of an event, from 0 to 1. */
  fraction(seq: number): number {
    return this.span ? this.time(seq) / this.span : this.last > 1 ? (Math.max(1, seq) - 1) / (this.last - 1) : 0;
  }

  /** The event of the next stop (`by` 1) or the previous one (-1); the first or the last event without one. */
  stop(unit: Unit, seq: number, by: 1 | -1): number {
    if (unit === "event") return Math.min(this.last, Math.max(Math.min(1, this.last), seq + by));
    const stops = this.stops[unit];
    const place = by > 0 ? after(stops, seq) : after(stops, seq - 1) - 1;
    return stops[place] ?? (by > 0 ? this.last : Math.min(1, this.last));
  }

  /** The latest stop at or before an event, for playing by step or turn. */
  snapped(unit: Unit, seq: number): number {
    if (unit === "event" || seq >= this.last) return seq;
    const stops = this.stops[unit];
    return stops[after(stops, seq) - 1] ?? Math.min(1, this.last);
  }

  /** The next or the previous mark of a kind, of any kind for "". */
  jump(kind: string, seq: number, by: 1 | -1): Mark | undefined {
    const of = (mark: Mark) => (!kind || mark.kind === kind) && (by > 0 ? mark.seq > seq : mark.seq < seq);
    return by > 0 ? this.marks.find(of) : this.marks.findLast(of);
  }

  count(kind: string): number {
    return this.counts.get(kind) ?? 0;
  }

  /** The `seq` of each step's first event. */
  *begins(): Iterable<number> {
    for (let i = 2; i < this.steps.length; i += 3) yield this.steps.at(i);
  }

  /** The last event before the step after this one begins. */
  ends(turn: number, index: number): number {
    let [low, high] = [0, this.steps.length / 3];
    while (low < high) {
      const middle = (low + high) >> 1;
      const at = this.steps.at(3 * middle);
      if (at < turn || (at === turn && this.steps.at(3 * middle + 1) <= index)) low = middle + 1;
      else high = middle;
    }
    return low < this.steps.length / 3 ? this.steps.at(3 * low + 2) - 1 : this.last;
  }

  private get timed(): boolean {
    return this.clocks.length > 0 && this.clocks.at(this.clocks.length - 1) > 0;
  }

  private findStops(): void {
    const [step, turn]: [Set<number>, Set<number>] = [new Set(), new Set()];
    for (let i = 3; i < this.steps.length; i += 3) {
      const before = this.steps.at(i + 2) - 1;
      step.add(before);
      if (this.steps.at(i) !== this.steps.at(i - 3)) turn.add(before);
    }
    const sorted = (found: Set<number>) => [...found.add(this.last)].filter((seq) => seq > 0).sort((a, b) => a - b);
    this.stops = { step: sorted(step), turn: sorted(turn) };
  }
}

/** The place of the first number above `value` in a sorted list. */
function after(sorted: number[], value: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Numbers that grow, without a copy for each addition. */
class Numbers {
  length = 0;
  private held = new Int32Array(64);

  at(place: number): number {
    return this.held[place] ?? 0;
  }

  add(more: Int32Array): void {
    if (this.length + more.length > this.held.length) {
      const grown = new Int32Array(Math.max(2 * this.held.length, this.length + more.length));
      grown.set(this.held.subarray(0, this.length));
      this.held = grown;
    }
    this.held.set(more, this.length);
    this.length += more.length;
  }
}
