// The page's side of the widget: the newest list of sandboxes, and what is being done to them.
import { Connection } from "../lib/connection.ts";
import type { Model } from "../lib/protocol.ts";

export type Action = "park" | "destroy";

/** The same as `_row_view` in src/session_widgets/widgets/sandboxes.py; times are milliseconds since 1970 UTC. */
export interface Sandbox {
  ref: string;
  session: string;
  owner: string;
  running: boolean;
  /** A turn runs in it. */
  working: boolean;
  /** A session of the store refers to it. */
  wanted: boolean;
  created: number;
  deadline: number | null;
  ran: string;
  cost: string;
}

interface Message {
  kind: "sandboxes";
  now: number;
  at: number;
  sandboxes: Sandbox[];
  total: string;
  /** Providers that could not be asked. */
  problems: { provider: string; text: string }[];
}

export class Link extends Connection<Message> {
  found: Message | undefined;
  refreshing = false;
  /** The action on a sandbox that waits for a person's consent. */
  asked: { ref: string; action: Action } | undefined;
  /** Actions that the kernel works on. */
  doing = new Map<string, Action>();
  errors = new Map<string, string>();
  /** What was done last, for people who hear it. */
  said = "";
  private skew = 0;

  constructor(model: Model) {
    super(model);
    this.hello();
  }

  /** Kernel time now. */
  now(): number {
    return Date.now() + this.skew;
  }

  async refresh(): Promise<void> {
    this.refreshing = true;
    this.errors.delete("");
    this.changed();
    try {
      await this.rpc.call("refresh", {}, 0);
    } catch (error) {
      this.errors.set("", (error as Error).message);
    }
    this.refreshing = false;
    this.changed();
  }

  async act(ref: string, action: Action): Promise<void> {
    this.asked = undefined;
    this.errors.delete(ref);
    this.doing.set(ref, action);
    this.changed();
    try {
      await this.rpc.call(action, { ref }, 0);
      this.said = `${ref} is ${action === "park" ? "parked" : "destroyed"}.`;
    } catch (error) {
      this.errors.set(ref, (error as Error).message);
    }
    this.doing.delete(ref);
    this.changed();
  }

  protected take(message: Message): void {
    if (message.kind !== "sandboxes") return;
    this.state = "live";
    this.found = message;
    this.skew = message.now - Date.now();
  }
}
