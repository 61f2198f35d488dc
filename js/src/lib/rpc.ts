// Requests to the kernel by operation name, with numbers, timeouts and error messages.
import type { Reply, ToKernel } from "./protocol.ts";

export class RpcError extends Error {
  constructor(readonly type: string, message: string) {
    super(message);
  }
}

export interface Answer<T> {
  value: T;
  buffers: DataView[];
}

interface Waiting {
  resolve(answer: Answer<unknown>): void;
  reject(error: RpcError): void;
  timer: ReturnType<typeof setTimeout> | undefined;
}

type Post = (message: ToKernel, buffers?: ArrayBuffer[]) => void;

export class Rpc {
  private waiting = new Map<number, Waiting>();
  private last = 0;

  constructor(private view: string, private post: Post) {}

  /** Request `op`. `timeout` in milliseconds; 0 waits as long as a cell runs. */
  call<T>(op: string, args: Record<string, unknown> = {}, timeout = 30_000, buffers: ArrayBuffer[] = []): Promise<Answer<T>> {
    const id = ++this.last;
    return new Promise<Answer<T>>((resolve, reject) => {
      const timer = timeout
        ? setTimeout(() => {
            this.waiting.delete(id);
            try {
              this.post({ kind: "cancel", view: this.view, id });
            } finally {
              reject(new RpcError("Timeout", `The kernel did not answer within ${timeout / 1000} s. It may be busy with a cell.`));
            }
          }, timeout)
        : undefined;
      this.waiting.set(id, { resolve: resolve as Waiting["resolve"], reject, timer });
      try {
        this.post({ kind: "rpc", view: this.view, id, op, args }, buffers);
      } catch {
        this.settle(id)?.reject(new RpcError("KernelGone", "The kernel is gone."));
      }
    });
  }

  /** Handle a reply; replies for other pages and abandoned requests are dropped. */
  reply(reply: Reply, buffers: DataView[]): void {
    if (reply.view !== this.view) return;
    const waiting = this.settle(reply.id);
    if (!waiting) return;
    if (reply.ok) waiting.resolve({ value: reply.value, buffers });
    else waiting.reject(new RpcError(reply.error?.type ?? "Error", reply.error?.message ?? "The operation failed."));
  }

  /** Fail all waiting requests. */
  fail(message: string): void {
    for (const id of [...this.waiting.keys()]) this.settle(id)?.reject(new RpcError("KernelGone", message));
  }

  private settle(id: number): Waiting | undefined {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    clearTimeout(waiting?.timer);
    return waiting;
  }
}
