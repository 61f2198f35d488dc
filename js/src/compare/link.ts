// The page's side of the widget: the newest comparison, requests for its parts, and a missing kernel.
import type { Model, Reply, ToKernel } from "../lib/protocol.ts";
import { Rpc } from "../lib/rpc.ts";
import type { Cells, ColumnSteps, Comparison, FileTexts, FinalFiles } from "./model.ts";

const BLOCK = 100;
const OFTEN = 3_000;
const SELDOM = 15_000;

type FromKernel = { kind: "comparison"; n: number; comparison: Comparison } | Reply;

export class Link {
  state: "connecting" | "live" | "gone" = "connecting";
  comparison: Comparison | undefined;
  /** Counts comparisons: what was fetched for an earlier one is dropped. */
  n = 0;
  files: FinalFiles | Error | undefined;
  endings: Cells | undefined;
  readonly rpc: Rpc;

  private cells = new Map<number, Cells>();
  private steps = new Map<number, ColumnSteps | Error>();
  private texts = new Map<number, FileTexts | Error>();
  private asked = new Set<string>();
  private listeners = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private view = Math.random().toString(36).slice(2);

  constructor(readonly model: Model) {
    this.rpc = new Rpc(this.view, (message, buffers) => this.post(message, buffers));
    model.on("msg:custom", this.receive);
    this.hello();
    this.later();
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.model.off("msg:custom", this.receive);
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  hello(): void {
    this.attempt({ kind: "hello", view: this.view });
  }

  /** Compare again, whether or not a session went on. */
  refresh(): void {
    this.fetch("refresh", {}, () => undefined, `refresh ${this.n}`);
  }

  /** The cells of a column; undefined until they have arrived. */
  column(column: number): Cells | undefined {
    const found = this.cells.get(column);
    if (!found) {
      const first = column - (column % BLOCK);
      this.fetch<Cells[]>("cells", { first, last: first + BLOCK }, (all) => all.forEach((one, i) => this.cells.set(first + i, one)));
    }
    return found;
  }

  ends(): Cells | undefined {
    if (!this.endings) this.fetch<Cells>("endings", {}, (found) => { this.endings = found; });
    return this.endings;
  }

  details(column: number): ColumnSteps | Error | undefined {
    if (!this.steps.has(column)) {
      this.fetch<ColumnSteps>("steps", { column }, (found) => this.steps.set(column, found), undefined, (error) => this.steps.set(column, error));
    }
    return this.steps.get(column);
  }

  finalFiles(): FinalFiles | Error | undefined {
    if (!this.files) this.fetch<FinalFiles>("files", {}, (found) => { this.files = found; }, undefined, (error) => { this.files = error; });
    return this.files;
  }

  fileTexts(file: number): FileTexts | Error | undefined {
    if (!this.texts.has(file)) {
      this.fetch<FileTexts>("file", { file }, (found) => this.texts.set(file, found), undefined, (error) => this.texts.set(file, error));
    }
    return this.texts.get(file);
  }

  changed(): void {
    for (const listener of this.listeners) listener();
  }

  private fetch<T>(op: string, args: Record<string, unknown>, take: (value: T) => void, key = `${op} ${JSON.stringify(args)}`, refuse: (error: Error) => void = () => undefined): void {
    if (this.asked.has(key)) return;
    this.asked.add(key);
    const n = this.n;
    const settle = (act: () => void) => {
      if (n !== this.n) return;
      act();
      this.changed();
    };
    this.rpc.call<T>(op, args).then(({ value }) => settle(() => take(value)), (error: Error) => settle(() => refuse(error)));
  }

  private receive = (message: FromKernel, buffers: DataView[] = []): void => {
    if (message.kind === "reply") {
      this.rpc.reply(message, buffers);
      return;
    }
    if (message.kind !== "comparison") return;
    this.state = "live";
    if (message.n !== this.n || !this.comparison) {
      this.n = message.n;
      this.comparison = message.comparison;
      this.files = this.endings = undefined;
      for (const known of [this.cells, this.steps, this.texts, this.asked]) known.clear();
    }
    this.changed();
  };

  private later(): void {
    const running = this.comparison?.runs.some((run) => run.running);
    this.timer = setTimeout(() => {
      if (this.state === "live" && !document.hidden) this.attempt({ kind: "ping", view: this.view });
      this.later();
    }, running ? OFTEN : SELDOM);
  }

  private attempt(message: ToKernel): void {
    try {
      this.post(message);
    } catch {
      // post() has drawn the state
    }
  }

  private post(message: ToKernel, buffers: ArrayBuffer[] = []): void {
    try {
      this.model.send(message, undefined, buffers);
    } catch (error) {
      this.state = "gone";
      this.rpc.fail("The kernel is gone.");
      this.changed();
      throw error;
    }
  }
}
