// The page's side of a replay: where it stands, playing, and what the kernel tells about that moment. One for each model.
import { Connection } from "../lib/connection.ts";
import type { Model, Step } from "../lib/protocol.ts";
import { type Range, RowModel } from "../rows/model.ts";
import { Annotations } from "./annotations.ts";
import type { FileText, FromKernel, Moment, Replay, TimelineHead } from "./protocol.ts";
import { Timeline, type Unit } from "./timeline.ts";

export const SPEEDS = [0.5, 1, 2, 5, 10, 20, 50];
const PING = 5_000;
const REST = 400;

export class Player extends Connection<FromKernel> {
  replay: Replay | undefined;
  timeline = new Timeline();
  readonly annotations = new Annotations(this.rpc, () => this.changed());
  moment: Moment | undefined;
  /** Why the newest request failed. */
  problem: string | undefined;
  rows = new RowModel<Step>();
  /** The event to show; `moment` follows it. */
  seq = 0;
  playing = false;
  speed = 1;
  unit: Unit = "step";
  /** The kind of marks for "[" and "]"; "" for any. */
  kind = "";
  /** The file that is open, at the moment. */
  path: string | undefined;
  file: FileText | Error | undefined;
  /** Turn and index of the step to show, if event `seq` changed several. */
  private step: [number, number] | null = null;
  private shownStep: [number, number] | null = null;
  /** Grows when a person moves, so that views bring the step into view. */
  moves = 0;

  private seeking = false;
  private growing = false;
  private begun = false;
  private time = 0;
  private frame: number | undefined;
  private sent = -1;
  private rest: ReturnType<typeof setTimeout> | undefined;
  private readonly heart: ReturnType<typeof setInterval>;

  constructor(model: Model) {
    super(model);
    model.on("change:seq", this.moved);
    this.heart = setInterval(() => this.ping(), PING);
    this.hello();
  }

  override dispose(): void {
    clearInterval(this.heart);
    clearTimeout(this.rest);
    if (this.frame !== undefined) cancelAnimationFrame(this.frame);
    this.model.off("change:seq", this.moved);
    super.dispose();
  }

  /** Show the session after an event, at one of the steps that it changed. */
  go(seq: number, step: [number, number] | null = null): void {
    this.step = step;
    this.seq = Math.min(Math.max(Math.min(1, this.timeline.last), seq), this.timeline.last);
    this.time = this.timeline.time(this.seq);
    this.moves += 1;
    void this.seek();
    this.changed();
  }

  move(by: 1 | -1, unit: Unit = this.unit): void {
    this.pause();
    if (this.timeline.events) this.go(this.timeline.stop(unit, this.seq, by));
  }

  /** Go to the next or the previous mark; returns whether there is one. */
  jump(by: 1 | -1, kind = this.kind): boolean {
    this.kind = kind;
    const mark = this.timeline.jump(kind, this.seq, by);
    if (mark) this.go(mark.seq);
    else this.changed();
    return mark !== undefined;
  }

  toggle(): void {
    if (this.playing) return this.pause();
    if (!this.timeline.events) return;
    if (this.seq >= this.timeline.last) this.go(1);
    this.time = this.timeline.time(this.seq);
    this.playing = true;
    let before = performance.now();
    const tick = (now: number) => {
      if (!this.playing) return;
      this.time += (now - before) * this.speed;
      before = now;
      const seq = this.timeline.snapped(this.unit, this.timeline.seqAt(this.time));
      if (seq > this.seq) {
        this.seq = seq;
        this.step = null;
        this.moves += 1;
        void this.seek();
      }
      if (this.time >= this.timeline.span && this.seq >= this.timeline.last && !this.replay?.live) this.playing = false;
      this.changed();
      this.frame = requestAnimationFrame(tick);
    };
    this.frame = requestAnimationFrame(tick);
    this.changed();
  }

  pause(): void {
    this.playing = false;
    this.changed();
  }

  /** The time of the playhead: between two events while it plays. */
  get head(): number {
    return this.playing ? Math.min(this.time, this.timeline.span) : this.timeline.time(this.seq);
  }

  open(path: string | undefined): void {
    this.path = path;
    this.file = undefined;
    void this.readFile();
    this.changed();
  }

  /** Fetch the rows in view that are missing. */
  seen(first: number, last: number): void {
    for (const range of this.rows.wanted(first, last)) void this.fetchRows(range);
  }

  private async fetchRows(range: Range): Promise<void> {
    const seq = this.moment?.seq ?? 0;
    try {
      const { value } = await this.rpc.call<Step[]>("rows", { seq, ...range });
      if (this.moment?.seq === seq) this.rows.put(range.first, value);
      else this.rows.failed(range);
    } catch {
      this.rows.failed(range);
      return;
    }
    this.changed();
  }

  /** One request at a time; the newest wish is served next. */
  private async seek(): Promise<void> {
    if (this.seeking) return;
    this.seeking = true;
    try {
      while (this.moment?.seq !== this.seq || this.shownStep !== this.step) {
        const [wanted, step] = [this.seq, this.step];
        const { value } = await this.rpc.call<Moment>("moment", { seq: wanted, step, before: this.moment?.seq ?? 0 });
        if (this.seq === wanted) this.seq = value.seq;
        this.show(value, step);
      }
    } catch (error) {
      this.problem = (error as Error).message;
      this.playing = false;
      this.changed();
    } finally {
      this.seeking = false;
    }
  }

  private show(moment: Moment, step: [number, number] | null): void {
    this.shownStep = step;
    this.rows.resize(moment.count, this.moment ? moment.same : 0);
    this.rows.put(moment.first, moment.rows);
    this.moment = moment;
    this.problem = undefined;
    this.remember();
    void this.readFile();
    this.changed();
  }

  private async readFile(): Promise<void> {
    const { path, moment } = this;
    const state = moment?.files.find((file) => file.path === path);
    if (path === undefined || !moment) return;
    if (!state) this.file = undefined;
    else if (!this.file || this.file instanceof Error || this.file.seq !== state.seq || this.file.state !== state.state || this.file.path !== path) {
      const found = await this.rpc.call<FileText>("file", { path, seq: moment.seq }).then(({ value }) => value, (error: Error) => error);
      if (this.path !== path || this.moment !== moment) return;
      this.file = found;
    }
    this.changed();
  }

  private async grow(): Promise<void> {
    if (this.growing) return;
    this.growing = true;
    try {
      while (this.replay && (this.replay.last > (this.timeline.events && this.timeline.last) || this.replay.version !== this.timeline.version)) {
        const { seq } = this;
        const atEnd = seq === this.timeline.last;
        if (this.replay.version !== this.timeline.version) this.timeline = new Timeline(this.timeline.last);
        const { timeline } = this;
        const { value, buffers } = await this.rpc.call<TimelineHead>("timeline", timeline.have());
        timeline.grow(value, buffers.map(numbers));
        if (!this.begun && (this.replay.at === null || this.replay.at <= timeline.last)) {
          this.begun = true;
          this.go(this.replay.at ?? 1, this.replay.step);
        } else if (this.begun && this.replay.live && atEnd && this.seq === seq && seq < timeline.last) {
          this.go(timeline.last); // it follows
        }
        this.changed();
      }
    } catch (error) {
      this.problem = (error as Error).message;
      this.changed();
    } finally {
      this.growing = false;
    }
  }

  protected take(message: FromKernel, buffers: DataView[]): void {
    if (message.kind !== "replay") return;
    this.state = "live";
    const first = this.replay === undefined;
    this.replay = message.replay;
    if (message.moment && !this.begun) this.begin(message.moment, message.timeline, buffers);
    void this.grow();
    if (first) void this.annotations.load();
  }

  /** Show the first moment; a long time line comes behind it. */
  private begin(moment: Moment, head: TimelineHead | null, buffers: DataView[]): void {
    this.begun = true;
    this.timeline = new Timeline(this.replay?.last);
    if (head) this.timeline.grow(head, buffers.map(numbers));
    this.seq = moment.seq;
    this.step = this.replay?.step ?? null;
    this.moves += 1;
    this.show(moment, this.step);
  }

  protected override lost(): void {
    this.playing = false;
  }

  private moved = (): void => {
    const seq = Number(this.model.get("seq"));
    if (seq < 0 || seq === this.sent || seq === this.seq) return;
    if (this.begun) this.go(seq);
  };

  /** Tell the kernel where the page stands, once it rests. */
  private remember(): void {
    clearTimeout(this.rest);
    this.rest = setTimeout(() => {
      if (this.seq === this.model.get("seq")) return;
      this.sent = this.seq;
      this.model.set("seq", this.seq);
      try {
        this.model.save_changes();
      } catch {
        // the kernel is gone
      }
    }, REST);
  }
}

/** The numbers in a buffer of little-endian 32-bit integers. */
function numbers(buffer: DataView): Int32Array {
  return Int32Array.from({ length: buffer.byteLength / 4 }, (_, i) => buffer.getInt32(4 * i, true));
}
