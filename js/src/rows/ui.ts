// The state of a view of steps, unknown to the kernel: folded rows, expanded texts, fetched images.
import { Markdown } from "../lib/markdown.ts";
import type { Step, Text } from "../lib/protocol.ts";
import type { Answer } from "../lib/rpc.ts";

let markdown: Markdown | undefined;

/** Where a view of steps asks for more: the operations `text` and `image`, as `Client.rpc` has them. */
export interface StepSource {
  call<T>(op: string, args: Record<string, unknown>): Promise<Answer<T>>;
  /** The workspace's path for the agent; paths below it are shown without it. */
  root(): string;
}

export class RowUi {
  /** Grows with every change, so that rows are drawn again. */
  rev = 0;
  /** A person just opened or closed a row: keep the view's position. */
  unfolded = false;
  private folds = new Map<string, boolean>();
  private texts = new Map<string, Text>();
  private images = new Map<string, string>();
  protected loading = new Set<string>();

  constructor(private source: StepSource, private redraw: () => void, readonly openFile?: (path: string) => void) {}

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

  open(key: string): void {
    this.folds.set(key, true);
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
      const { value } = await this.source.call<Text>("text", args);
      this.texts.set(key, { text: have + value.text, length: value.length });
    } finally {
      this.loading.delete(key);
      this.changed();
    }
  }

  /** Drop the fetched texts, when the steps are shown as of another moment. */
  forgetTexts(): void {
    this.texts.clear();
  }

  /** The address of an image in a tool's output; undefined until its bytes have arrived. */
  image(step: Step, block: number, mime: string): string | undefined {
    const key = partKey(step, `image ${block}`);
    if (!this.images.has(key) && !this.loading.has(key)) {
      this.loading.add(key);
      const args = { turn: step.turn, index: step.index, block };
      this.source.call("image", args).then(({ buffers }) => {
        const [bytes] = buffers;
        if (bytes) this.images.set(key, URL.createObjectURL(new Blob([bytes as DataView<ArrayBuffer>], { type: mime })));
        this.changed();
      }, () => this.loading.delete(key));
    }
    return this.images.get(key);
  }

  /** A path relative to the workspace. */
  relative(path: string): string {
    const root = this.source.root().replace(/\/$/, "");
    return root && path.startsWith(`${root}/`) ? path.slice(root.length + 1) : path;
  }

  dispose(): void {
    for (const url of this.images.values()) URL.revokeObjectURL(url);
  }
}

function partKey(step: Step, part: string): string {
  return `${step.turn}.${step.index}.${part}`;
}
