// The page's side of a session's widget: applies batches in order and requests a snapshot on a gap.
import { closeInCell } from "./cell.ts";
import { Connection } from "./connection.ts";
import type { Batch, CellQuestion, Command, Listing, Model, Page, Session, Setting, Snapshot, ToKernel } from "./protocol.ts";
import { type Cursor, Transcript } from "./transcript.ts";

const ACK_PAUSE = 250;
const HEARTBEAT = 10_000;
const PATIENCE = 4_000;

export class Client extends Connection<Batch | Snapshot> {
  /** The kernel accepted a message but has not answered for a while: it runs a cell. */
  busy = false;
  session: Session | undefined;
  /** The agent's options; null before its first start. */
  settings: Setting[] | null = null;
  /** The agent's own commands. */
  commands: Command[] = [];
  /** The current activity outside the transcript. */
  activity: string | null = null;
  /** The current question of a cell. */
  cellQuestion: CellQuestion | null = null;
  transcript = new Transcript();
  listings = new Map<string, Listing>();
  /** Kernel time minus page time, in milliseconds. */
  skew = 0;
  /** The first and the last step in view, of a view that is scrolled up. */
  reading: [Cursor, Cursor] | undefined;

  private n = 0;
  private restarts = 0;
  private acked = 0;
  private ackTimer: ReturnType<typeof setTimeout> | undefined;
  private busyTimer: ReturnType<typeof setTimeout> | undefined;
  private heartbeat: ReturnType<typeof setInterval>;

  constructor(model: Model) {
    super(model);
    this.heartbeat = setInterval(() => this.ping(), HEARTBEAT);
    this.hello();
  }

  override dispose(): void {
    clearInterval(this.heartbeat);
    clearTimeout(this.ackTimer);
    clearTimeout(this.busyTimer);
    super.dispose();
  }

  /** Kernel time now. */
  now(): number {
    return Date.now() + this.skew;
  }

  /** Send `hello` again, when a person retries. */
  reconnect(): void {
    this.state = "connecting";
    this.hello();
    this.changed();
  }

  /** Fetch steps, as many as one message carries; returns whether some came. */
  async fetch(first: Cursor, last: Cursor): Promise<boolean> {
    const { restarts } = this;
    const { value } = await this.rpc.call<Page>("range", { first, last });
    if (restarts === this.restarts) this.transcript.add(value);
    this.changed();
    return value.steps.length > 0;
  }

  protected take(message: Batch | Snapshot): void {
    if (message.kind === "snapshot") this.restart(message);
    else if (message.kind === "batch") this.advance(message);
  }

  private restart(snapshot: Snapshot): void {
    const wanted = snapshot.view === this.view || (snapshot.view === null && (snapshot.reset || this.state !== "live"));
    if (!wanted) return;
    this.state = "live";
    this.n = snapshot.n;
    this.skew = snapshot.now - Date.now();
    this.session = snapshot.session;
    this.settings = snapshot.settings;
    this.commands = snapshot.commands;
    this.activity = snapshot.activity;
    this.askedInCell(snapshot.cell_question);
    this.restarts += 1;
    this.transcript.replace(snapshot.counts, snapshot.page);
    for (const listing of snapshot.listings) this.listings.set(listing.path, listing);
    this.acknowledge();
  }

  private advance(batch: Batch): void {
    if (this.state === "gap" || this.state === "connecting" || batch.n <= this.n) return;
    if (batch.n !== this.n + 1) {
      this.state = "gap";
      this.hello();
      return;
    }
    this.n = batch.n;
    this.skew = batch.now - Date.now();
    for (const item of batch.items) {
      if (item.type === "session") this.session = item.session;
      else if (item.type === "settings") [this.settings, this.commands] = [item.settings, item.commands];
      else if (item.type === "activity") this.activity = item.text;
      else if (item.type === "cell_question") this.askedInCell(item.question);
      else if (item.type === "listing") this.listings.set(item.path, item);
      else this.transcript.apply(item);
    }
    this.transcript.trim(this.reading);
    this.acknowledge();
  }

  private askedInCell(question: CellQuestion | null): void {
    if (this.cellQuestion && this.cellQuestion.prompt !== question?.prompt) closeInCell(document, this.cellQuestion);
    this.cellQuestion = question;
  }

  private acknowledge(): void {
    this.ackTimer ??= setTimeout(() => {
      this.ackTimer = undefined;
      if (this.acked === this.n) return;
      this.acked = this.n;
      this.attempt({ kind: "ack", view: this.view, n: this.n });
    }, ACK_PAUSE);
  }

  protected override post(message: ToKernel, buffers: ArrayBuffer[] = []): void {
    super.post(message, buffers);
    if (message.kind === "hello" || message.kind === "rpc") this.expect();
  }

  private expect(): void {
    this.busyTimer ??= setTimeout(() => {
      this.busy = true;
      this.changed();
    }, PATIENCE);
  }

  protected override heard(): void {
    clearTimeout(this.busyTimer);
    this.busyTimer = undefined;
    this.busy = false;
  }
}
