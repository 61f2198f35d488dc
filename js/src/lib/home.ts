// Labels for the location of a session's files and the durability of each turn. Pure.
import type { Session, Turn } from "./protocol.ts";
import { clock, line } from "./text.ts";
import type { Section } from "./transcript.ts";

/** Keep in step with `Reason` in src/session_widgets/errors.py. */
const REASONS = new Map([
  ["unreachable", "the store does not answer"],
  ["refused", "the store refuses the credentials"],
  ["missing", "there is no such bucket"],
  ["expired", "the credentials have expired"],
  ["clock", "the clocks differ"],
  ["conflict", "changed on both sides"],
  ["lease_held", "another writer holds it"],
  ["changing", "files keep changing"],
  ["mismatch", "the store shows something else"],
  ["name", "a name that cannot be saved"],
  ["mount", "the mount failed"],
  ["disk", "the disk is full"],
  ["tool", "a program is missing"],
  ["interrupted", "it was stopped"],
]);

type Home = Pick<Turn, "workspace" | "attachment">;

export interface Kept {
  state: "disk" | "saved" | "later" | "lost";
  words: string;
  /** The details: time and place, or the reason. */
  detail: string;
}

/** A reason and its detail; a text without a known reason is all detail. */
export function reasonOf(error: string): { words: string | undefined; detail: string } {
  const [, code = "", rest = ""] = /^([a-z_]+):\s*([^]*)$/.exec(error) ?? [];
  const words = REASONS.get(code);
  return { words, detail: words ? rest : error };
}

export function isFolder(home: Home): boolean {
  return home.attachment === "directory";
}

/** "s3 · sync", "s3 · s3fs", "folder". */
export function homeWords(home: Home): string {
  if (isFolder(home)) return "folder";
  const scheme = /^([a-z][a-z0-9]*):/.exec(home.workspace)?.[1] ?? "remote";
  return line(`${scheme} · ${home.attachment.replace(/^fuse:/, "")}`, 40);
}

/** Whether an ended turn's files are saved; undefined if unknown. */
export function keptOf(turn: Turn, later: Turn | undefined, when: (millis: number) => string): Kept | undefined {
  const where = line(turn.workspace, 500);
  if (turn.durable_at !== null) {
    return isFolder(turn)
      ? { state: "disk", words: "On disk", detail: `On disk since ${when(turn.durable_at)}, in ${where}` }
      : { state: "saved", words: "Saved", detail: `Saved at ${when(turn.durable_at)} to ${where} (${homeWords(turn)})` };
  }
  if (turn.durability_error === null || turn.status === "running") return undefined;
  const { words, detail } = reasonOf(turn.durability_error);
  if (later) return { state: "later", words: `Saved later, with turn ${later.turn}`, detail: `When this turn ended: ${detail}` };
  return { state: "lost", words: words ? `Not saved: ${words}` : "Not saved", detail };
}

/** The first later turn that verified the same workspace, including this turn's files. */
export function savedLater(sections: readonly Section[], turn: Turn): Turn | undefined {
  if (turn.durable_at !== null || turn.durability_error === null) return undefined;
  if (turn.attachment.startsWith("fuse:") || turn.durability_error.startsWith("mount:")) return undefined; // it may be lost
  return sections.find(({ turn: other }) =>
    other && other.turn > turn.turn && other.durable_at !== null && other.workspace === turn.workspace,
  )?.turn;
}

/** The label and the tooltip of a sandbox. */
export function sandboxWords(session: Session): { words: string; extra: string; title: string } {
  if (session.sandbox !== "local")
    return { words: line(session.sandbox, 40), extra: "", title: `Sandbox: ${line(session.sandbox, 100)}` };
  return session.confined
    ? { words: "local", extra: ", confined", title: "Sandbox: local, confined. The agent runs on this machine as you; of your files it sees the workspace alone" }
    : { words: "local", extra: ", not isolated", title: "Sandbox: local. The agent runs on this machine as you, and can access everything that you can" };
}

export interface TimeLeft {
  words: string;
  /** Less than five minutes. */
  near: boolean;
}

const MINUTE = 60_000;

/** The time until a sandbox parks or ends in any case. */
export function timeLeft(deadline: number, now: number): TimeLeft {
  const left = deadline - now;
  const near = left < 5 * MINUTE;
  if (left <= 0) return { words: "time is over", near };
  if (near) return { words: `${clock(left)} left`, near };
  const minutes = Math.floor(left / MINUTE);
  return { words: minutes < 120 ? `${minutes} min left` : `${Math.floor(minutes / 60)} h left`, near };
}

const MEMORY = new Map([
  ["resume", "Resumed: the agent has its own memory"],
  ["load", "The agent loaded its own memory"],
  ["replay", "History handed over"],
  ["fresh", "The agent has no memory of the earlier turns"],
]);

const PARTLY = "The agent loaded its own memory and received the missing turns";

/** How the agent regained its memory, if it had to. */
export function memoryOf(turn: Turn): string | undefined {
  if (turn.turn === 1) return undefined;
  return turn.tier === "load" && turn.handed_over ? PARTLY : MEMORY.get(turn.tier ?? "");
}
