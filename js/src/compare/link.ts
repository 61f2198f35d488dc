// The page's side of the widget: the newest comparison, and requests for its parts.
import { Connection } from "../lib/connection.ts";
import type { Model } from "../lib/protocol.ts";
import type { Cells, ColumnSteps, Comparison, FileTexts, FinalFiles } from "./model.ts";

const BLOCK = 100;
const OFTEN = 3_000;
const SELDOM = 15_000;

type Message = { kind: "comparison"; n: number; comparison: Comparison };

export class Link extends Connection<Message> {
  comparison: Comparison | undefined;
  /** Counts comparisons: what was fetched for an earlier one is dropped. */
  n = 0;
  files: FinalFiles | Error | undefined;
  endings: Cells | undefined;

  private cells = new Map<number, Cells>();
  private steps = new Map<number, ColumnSteps | Error>();
  private texts = new Map<number, FileTexts | Error>();
  private asked = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(model: Model) {
    super(model);
    this.hello();
    this.later();
  }

  override dispose(): void {
    clearTimeout(this.timer);
    super.dispose();
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

  protected take(message: Message): void {
    if (message.kind !== "comparison") return;
    this.state = "live";
    if (message.n !== this.n || !this.comparison) {
      this.n = message.n;
      this.comparison = message.comparison;
      this.files = this.endings = undefined;
      for (const known of [this.cells, this.steps, this.texts, this.asked]) known.clear();
    }
  }

  private later(): void {
    const running = this.comparison?.runs.some((run) => run.running);
    this.timer = setTimeout(() => {
      this.ping();
      this.later();
    }, running ? OFTEN : SELDOM);
  }
}
