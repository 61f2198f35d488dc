// The page's side of one widget: applies batches in order, requests a snapshot on a gap, detects a missing kernel.
// It belongs to the model and outlives every view of it; views subscribe.
import { closeInCell } from "./cell.ts";
import type { CellQuestion, Command, FromKernel, Listing, Model, Session, Setting, Snapshot, ToKernel } from "./protocol.ts";
import { Rpc } from "./rpc.ts";
import { Transcript } from "./transcript.ts";

const ACK_PAUSE = 250;
const HEARTBEAT = 10_000;
const PATIENCE = 4_000;

/** connecting: no message yet; gap: a lost batch was requested; gone: the kernel accepts no messages. */
export type Link = "connecting" | "live" | "gap" | "gone";

export class Client {
  link: Link = "connecting";
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
  /** Whether a view is scrolled up: then no old step is dropped. */
  reading = false;
  readonly rpc: Rpc;

  private view = Math.random().toString(36).slice(2);
  private n = 0;
  private acked = 0;
  private ackTimer: ReturnType<typeof setTimeout> | undefined;
  private busyTimer: ReturnType<typeof setTimeout> | undefined;
  private heartbeat: ReturnType<typeof setInterval>;
  private listeners = new Set<() => void>();

  constructor(readonly model: Model) {
    this.rpc = new Rpc(this.view, (message, buffers) => this.post(message, buffers));
    model.on("msg:custom", this.receive);
    this.heartbeat = setInterval(() => this.ping(), HEARTBEAT);
    this.hello();
  }

  dispose(): void {
    clearInterval(this.heartbeat);
    clearTimeout(this.ackTimer);
    clearTimeout(this.busyTimer);
    this.model.off("msg:custom", this.receive);
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Kernel time now. */
  now(): number {
    return Date.now() + this.skew;
  }

  /** Send `hello` again, when a person retries. */
  reconnect(): void {
    this.link = "connecting";
    this.hello();
    this.changed();
  }

  async earlier(): Promise<void> {
    const first = this.transcript.first;
    if (!first) return;
    const { value } = await this.rpc.call<Snapshot["page"]>("page", { turn: first.turn, index: first.index });
    if (this.transcript.first === first) this.transcript.prepend(value);
    this.changed();
  }

  changed(): void {
    for (const listener of this.listeners) listener();
  }

  private receive = (message: FromKernel, buffers: DataView[] = []): void => {
    this.heard();
    if (message.kind === "reply") this.rpc.reply(message, buffers);
    else if (message.kind === "snapshot") this.restart(message);
    else if (message.kind === "batch") this.advance(message);
    this.changed();
  };

  private restart(snapshot: Snapshot): void {
    const wanted = snapshot.view === this.view || (snapshot.view === null && (snapshot.reset || this.link !== "live"));
    if (!wanted) return;
    this.link = "live";
    this.n = snapshot.n;
    this.skew = snapshot.now - Date.now();
    this.session = snapshot.session;
    this.settings = snapshot.settings;
    this.commands = snapshot.commands;
    this.activity = snapshot.activity;
    this.askedInCell(snapshot.cell_question);
    this.transcript.replace(snapshot.page);
    for (const listing of snapshot.listings) this.listings.set(listing.path, listing);
    this.acknowledge();
  }

  private advance(batch: Extract<FromKernel, { kind: "batch" }>): void {
    if (this.link === "gap" || this.link === "connecting" || batch.n <= this.n) return;
    if (batch.n !== this.n + 1) {
      this.link = "gap";
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
    if (!this.reading) this.transcript.trim();
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

  private hello(): void {
    this.attempt({ kind: "hello", view: this.view });
  }

  private ping(): void {
    if (this.link !== "gone" && !document.hidden) this.attempt({ kind: "ping", view: this.view });
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
      this.link = "gone";
      this.rpc.fail("The kernel is gone.");
      this.changed();
      throw error;
    }
    if (message.kind === "hello" || message.kind === "rpc") this.expect();
  }

  private expect(): void {
    this.busyTimer ??= setTimeout(() => {
      this.busy = true;
      this.changed();
    }, PATIENCE);
  }

  private heard(): void {
    clearTimeout(this.busyTimer);
    this.busyTimer = undefined;
    this.busy = false;
  }
}
