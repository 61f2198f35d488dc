// The page's side of a widget: messages to the kernel, requests, a missing kernel. It belongs to the model and
// outlives every view of it; views subscribe.
import type { Model, Reply, ToKernel } from "./protocol.ts";
import { Rpc } from "./rpc.ts";

/** connecting: no message yet; gap: a lost batch was requested; gone: the kernel accepts no messages. */
export type State = "connecting" | "live" | "gap" | "gone";

/** `M`: the messages of the kernel besides replies. A subclass calls `hello` once it is ready for them. */
export abstract class Connection<M extends { kind: string }> {
  state: State = "connecting";
  readonly rpc: Rpc;
  protected readonly view = Math.random().toString(36).slice(2);
  private listeners = new Set<() => void>();

  constructor(readonly model: Model) {
    this.rpc = new Rpc(this.view, (message, buffers) => this.post(message, buffers));
    model.on("msg:custom", this.receive);
  }

  dispose(): void {
    this.model.off("msg:custom", this.receive);
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  changed(): void {
    for (const listener of this.listeners) listener();
  }

  /** Ask the kernel for the current state. */
  hello(): void {
    this.attempt({ kind: "hello", view: this.view });
  }

  protected abstract take(message: M, buffers: DataView[]): void;

  /** Any message has arrived. */
  protected heard(): void {}

  /** The kernel is gone. */
  protected lost(): void {}

  protected ping(): void {
    if (this.state !== "gone" && !document.hidden) this.attempt({ kind: "ping", view: this.view });
  }

  protected attempt(message: ToKernel): void {
    try {
      this.post(message);
    } catch {
      // post() has drawn the state
    }
  }

  protected post(message: ToKernel, buffers: ArrayBuffer[] = []): void {
    try {
      this.model.send(message, undefined, buffers);
    } catch (error) {
      this.state = "gone";
      this.lost();
      this.rpc.fail("The kernel is gone.");
      this.changed();
      throw error;
    }
  }

  private receive = (message: M | Reply, buffers: DataView[] = []): void => {
    this.heard();
    if (isReply(message)) this.rpc.reply(message, buffers);
    else this.take(message, buffers);
    this.changed();
  };
}

function isReply(message: { kind: string }): message is Reply {
  return message.kind === "reply";
}
