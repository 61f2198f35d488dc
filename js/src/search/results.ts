// The page's side of a search: what is asked, how far the kernel is, the hits, and the session that is open beside them.
import { Connection } from "../lib/connection.ts";
import { part } from "../lib/part.ts";
import type { Model } from "../lib/protocol.ts";
import { Player } from "../replay/player.ts";
import type { Asked, Choices, Hit, Message, Search } from "./protocol.ts";

export const NOTHING: Asked = {
  text: "", regex: false, case: false, harness: null, model: null, tool: null, kind: null, error: null, file: null, since: null, until: null, session: null,
};
const TYPING = 300;

/** The replay of a hit's session, once it is read. */
export interface Beside {
  hit: number;
  part: string | undefined;
  player: Player | undefined;
  problem: string | undefined;
}

export class Results extends Connection<Message> {
  search: Search | undefined;
  choices: Choices | undefined;
  asked: Asked = NOTHING;
  hits: Hit[] = [];
  titles = new Map<string, string>();
  folded = new Set<string>();
  beside: Beside | undefined;
  /** Why the newest request failed. */
  problem: string | undefined;

  /** The page asked for something that the kernel has not begun. */
  private asking = false;
  /** The hits are of an earlier search, and stay until others come. */
  private old = false;
  private n = 0;
  private typing: ReturnType<typeof setTimeout> | undefined;

  constructor(model: Model) {
    super(model);
    this.hello();
    void this.choose();
  }

  override dispose(): void {
    clearTimeout(this.typing);
    this.close();
    super.dispose();
  }

  get running(): boolean {
    return this.asking || this.search?.state === "running";
  }

  /** Whether the hits answer the newest question. */
  get current(): boolean {
    return !this.old && !this.asking;
  }

  get filters(): number {
    const { harness, model, tool, kind, error, file, since, until, session } = this.asked;
    return [harness, model, tool, kind, error, file, since, until, session].filter((one) => one !== null).length;
  }

  /** Ask for something else, `soon` while a person types. */
  ask(change: Partial<Asked>, soon = false): void {
    this.asked = { ...this.asked, ...change };
    this.folded.clear();
    clearTimeout(this.typing);
    this.typing = setTimeout(() => void this.send(), soon ? TYPING : 0);
    this.changed();
  }

  stop(): void {
    this.rpc.call("stop").catch(() => undefined);
  }

  async more(): Promise<void> {
    await this.request("more", {});
  }

  /** Show the session of a hit at its step. */
  async open(hit: number): Promise<void> {
    const before = this.beside;
    const beside: Beside = (this.beside = { hit, part: before?.part, player: before?.player, problem: undefined });
    this.changed();
    try {
      const { value } = await this.rpc.call<{ part: string; seq: number; step: [number, number] | null }>("open", { n: this.n, hit }, 120_000);
      if (this.beside !== beside) return;
      if (beside.part === value.part) beside.player?.go(value.seq, value.step);
      else {
        beside.player?.dispose();
        beside.player = new Player(part(this.model, value.part, { seq: value.seq }));
        beside.part = value.part;
      }
    } catch (error) {
      beside.player?.dispose();
      beside.player = beside.part = undefined;
      beside.problem = (error as Error).message;
    }
    this.changed();
  }

  close(): void {
    this.beside?.player?.dispose();
    this.beside = undefined;
    this.changed();
  }

  fold(session: string): void {
    if (!this.folded.delete(session)) this.folded.add(session);
    this.changed();
  }

  protected take(message: Message): void {
    if (message.kind === "search") this.begin(message.search);
    else if (message.kind === "hits" && message.n === this.n) {
      if (this.old) this.hits = [];
      this.old = false;
      this.hits = [...this.hits.slice(0, message.first), ...message.hits];
      for (const [session, title] of Object.entries(message.titles)) if (title) this.titles.set(session, title);
    }
  }

  private begin(search: Search): void {
    this.state = "live";
    if (search.n !== this.n) {
      this.n = search.n;
      this.old = true;
      if (this.beside && !this.beside.player) this.beside = undefined;
      if (this.beside) this.beside.hit = -1;
    }
    this.search = search;
    if (this.typing === undefined && !this.asking) this.asked = search.asked;
    if (search.state !== "running" && search.found === 0) {
      this.hits = [];
      this.old = false;
    }
  }

  private async send(): Promise<void> {
    this.typing = undefined;
    await this.request("search", { ...this.asked });
  }

  private async request(op: string, args: Record<string, unknown>): Promise<void> {
    this.asking = true;
    this.problem = undefined;
    this.changed();
    try {
      await this.rpc.call(op, args);
    } catch (error) {
      this.problem = (error as Error).message;
    }
    this.asking = false;
    this.changed();
  }

  private async choose(): Promise<void> {
    this.choices = await this.rpc.call<Choices>("choices").then(({ value }) => value, () => undefined);
    this.changed();
  }
}
