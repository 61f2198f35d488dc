// The state of one chat view, unknown to the kernel: folded rows, expanded texts, answers being sent.
import { answerInCell } from "../lib/cell.ts";
import type { Client } from "../lib/client.ts";
import { Markdown } from "../lib/markdown.ts";
import type { Handover, Step, Text } from "../lib/protocol.ts";
import { Arming } from "./arming.ts";

let markdown: Markdown | undefined;

export class Ui {
  /** Grows with every change, so that rows are drawn again. */
  rev = 0;
  /** A person just opened or closed a row: keep the view's position. */
  unfolded = false;
  private folds = new Map<string, boolean>();
  private texts = new Map<string, Text>();
  private images = new Map<string, string>();
  private handovers = new Map<number, Handover | Error>();
  private loading = new Set<string>();
  /** Answers being sent to the kernel: request to option. */
  readonly answering = new Map<string, string>();
  /** Why an answer to a question was refused. */
  readonly refusals = new Map<string, string>();
  readonly arming: Arming;
  readonly openFile: ((path: string) => void) | undefined;

  /** Send a prompt again. */
  readonly retry: (text: string) => void;

  constructor(readonly client: Client, private redraw: () => void, openFile?: (path: string) => void, retry: (text: string) => void = () => undefined) {
    this.openFile = openFile;
    this.arming = new Arming(redraw);
    this.retry = retry;
  }

  get markdown(): Markdown {
    return (markdown ??= new Markdown(window));
  }

  changed(): void {
    this.rev += 1;
    this.redraw();
  }

  isOpen(key: string, byDefault: boolean): boolean {
    return this.folds.get(key) ?? byDefault;
  }

  toggle(key: string, byDefault: boolean): void {
    this.folds.set(key, !this.isOpen(key, byDefault));
    this.unfolded = true;
    this.changed();
  }

  /** The text of one part of a step, including the fetched pieces beyond its start. */
  text(step: Step, part: string, start: Text): Text {
    const more = this.texts.get(partKey(step, part));
    return more && more.text.length > start.text.length ? more : start;
  }

  /** Fetch the next piece of a long text. */
  async more(step: Step, part: string, start: Text): Promise<void> {
    const key = partKey(step, part);
    if (this.loading.has(key)) return;
    this.loading.add(key);
    try {
      const have = this.text(step, part, start).text;
      const args = { turn: step.turn, index: step.index, part, offset: [...have].length };
      const { value } = await this.client.rpc.call<Text>("text", args);
      this.texts.set(key, { text: have + value.text, length: value.length });
    } finally {
      this.loading.delete(key);
      this.changed();
    }
  }

  /** The address of an image in a tool's output; undefined until its bytes have arrived. */
  image(step: Step, block: number, mime: string): string | undefined {
    const key = partKey(step, `image ${block}`);
    if (!this.images.has(key) && !this.loading.has(key)) {
      this.loading.add(key);
      const args = { turn: step.turn, index: step.index, block };
      this.client.rpc.call("image", args).then(({ buffers }) => {
        const [bytes] = buffers;
        if (bytes) this.images.set(key, URL.createObjectURL(new Blob([bytes as DataView<ArrayBuffer>], { type: mime })));
        this.changed();
      }, () => this.loading.delete(key));
    }
    return this.images.get(key);
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

  dispose(): void {
    this.arming.dispose();
    for (const url of this.images.values()) URL.revokeObjectURL(url);
  }

  /** A path relative to the workspace. */
  relative(path: string): string {
    const root = this.client.session?.root.replace(/\/$/, "");
    return root && path.startsWith(`${root}/`) ? path.slice(root.length + 1) : path;
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

function partKey(step: Step, part: string): string {
  return `${step.turn}.${step.index}.${part}`;
}
