// The state of one chat view, unknown to the kernel: that of its rows, and answers being sent.
import { answerInCell } from "../lib/cell.ts";
import type { Client } from "../lib/client.ts";
import type { Handover } from "../lib/protocol.ts";
import { RowUi } from "../rows/ui.ts";
import { Arming } from "./arming.ts";

export class Ui extends RowUi {
  private handovers = new Map<number, Handover | Error>();
  /** Answers being sent to the kernel: request to option. */
  readonly answering = new Map<string, string>();
  /** Why an answer to a question was refused. */
  readonly refusals = new Map<string, string>();
  readonly arming: Arming;

  /** `retry` sends a prompt again. */
  constructor(readonly client: Client, redraw: () => void, openFile?: (path: string) => void, readonly retry: (text: string) => void = () => undefined) {
    const source = { call: <T>(op: string, args: Record<string, unknown>) => client.rpc.call<T>(op, args), root: () => client.session?.root ?? "" };
    super(source, redraw, openFile);
    this.arming = new Arming(redraw);
  }

  /** The history that a turn carried, or the error; undefined until the kernel answers. */
  handover(turn: number): Handover | Error | undefined {
    const key = `${turn} told`;
    if (!this.handovers.has(turn) && !this.loading.has(key)) {
      this.loading.add(key);
      const came = (told: Handover | Error) => {
        this.loading.delete(key);
        this.handovers.set(turn, told);
        this.unfolded = true;
        this.changed();
      };
      this.client.rpc.call<Handover>("handover", { turn }, 0).then(({ value }) => came(value), came);
    }
    return this.handovers.get(turn);
  }

  /** Fetch the history again after an error. */
  askAgain(turn: number): void {
    this.handovers.delete(turn);
    this.changed();
  }

  override dispose(): void {
    this.arming.dispose();
    super.dispose();
  }

  /** Answer a question of the agent. */
  async reply(request: string, action: "accept" | "decline" | "cancel", content?: Record<string, unknown>): Promise<void> {
    if (this.answering.has(request)) return;
    this.answering.set(request, action);
    this.refusals.delete(request);
    this.changed();
    const asked = this.client.cellQuestion;
    if (asked?.request === request && answerInCell(document, asked, action, content)) return;
    try {
      await this.client.rpc.call("question", { request, action, content }, 0);
    } catch (error) {
      this.answering.delete(request);
      this.refusals.set(request, (error as Error).message);
      this.changed();
    }
  }

  async answer(request: string, option: string): Promise<void> {
    if (this.answering.has(request)) return;
    this.answering.set(request, option);
    this.changed();
    const asked = this.client.cellQuestion;
    if (asked?.request === request && answerInCell(document, asked, option)) return;
    try {
      await this.client.rpc.call("answer", { request, option }, 0);
    } catch {
      this.answering.delete(request);
      this.changed();
    }
  }
}
