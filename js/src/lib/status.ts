// The session's status as text. Pure.
import type { Session, Step } from "./protocol.ts";
import { line } from "./text.ts";
import type { Transcript } from "./transcript.ts";

export interface Status {
  tone: "idle" | "stopped" | "active" | "waiting" | "failed";
  words: string;
  /** Start of the current activity, kernel time; undefined when idle. */
  since?: number;
}

const DOING = new Map([
  ["read", "Reading"],
  ["edit", "Editing"],
  ["delete", "Deleting"],
  ["move", "Moving"],
  ["search", "Searching"],
  ["execute", "Running"],
  ["think", "Thinking"],
  ["fetch", "Fetching"],
]);

/** `activity`: the session's activity outside its turn. */
export function statusOf(transcript: Transcript, session?: Session, activity: string | null = null): Status {
  if (session?.status === "deleted") return { tone: "stopped", words: "Deleted" };
  const section = transcript.last;
  const turn = section?.turn;
  if (turn?.status !== "running" && activity) return { tone: "active", words: line(activity, 80) };
  if (turn?.status !== "running" && session?.status === "parked") return { tone: "stopped", words: "Parked" };
  if (!section || !turn) return { tone: "idle", words: "Ready" };
  if (turn.status === "failed") return { tone: "failed", words: "Failed" };
  if (turn.status === "cancelled") return { tone: "stopped", words: "Stopped" };
  if (turn.status !== "running") return { tone: "idle", words: "Ready" };
  const waiting = transcript.pending.length;
  if (waiting) return { tone: "waiting", words: "Waiting for your permission", since: turn.started };
  if (transcript.questions.length) return { tone: "waiting", words: "Waiting for your answer", since: turn.started };
  return { tone: "active", words: turn.saving ? "Saving" : doing(section.steps), since: turn.started };
}

function doing(steps: Step[]): string {
  const last = steps.at(-1);
  const tool = steps.findLast((step) => step.tool && (step.status === "in_progress" || step.status === "pending"))?.tool;
  if (tool) return `${DOING.get(tool.kind) ?? "Working"}: ${line(tool.command?.text ?? tool.title, 60)}`;
  if (last?.kind === "message" && last.status === "running") return "Writing";
  if (!last || last.kind === "user") return "Starting";
  return "Thinking";
}
