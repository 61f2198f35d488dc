// The transcript of a chat as a list of lines to draw: prompts, memory, steps, the ends of turns. Pure: no DOM, no clock.
import type { Step, Turn } from "../lib/protocol.ts";
import type { Section, Transcript } from "../lib/transcript.ts";

export type Line =
  | { kind: "earlier" | "activity" | "outgoing"; key: string }
  | { kind: "step"; key: string; step: Step; begins: boolean }
  | { kind: "memory"; key: string; turn: Turn }
  | { kind: "end"; key: string; turn: Turn; last: boolean; prompt: Step | undefined };

export interface Around {
  /** A card below the transcript lists the missing requirements of the harness. */
  missing: boolean;
  /** The running turn does something that no step shows. */
  activity: boolean;
  /** A prompt is on its way to the kernel. */
  outgoing: boolean;
}

export function linesOf(transcript: Transcript, around: Around): Line[] {
  const lines: Line[] = transcript.earlier ? [{ kind: "earlier", key: "earlier" }] : [];
  for (const section of transcript.sections) lines.push(...turnLines(section, section === transcript.last, around.missing));
  if (around.activity) lines.push({ kind: "activity", key: "activity" });
  if (around.outgoing) lines.push({ kind: "outgoing", key: "outgoing" });
  return lines;
}

function turnLines({ index, turn, steps }: Section, last: boolean, missing: boolean): Line[] {
  const first = steps[0]?.kind === "user" ? steps[0] : undefined;
  const others = first ? steps.slice(1) : steps;
  const said = last && missing && turn?.status === "failed";
  const shown = said ? others.filter((step) => step.kind !== "error") : toldOnce(others);
  const line = (step: Step): Line => ({ kind: "step", key: `${index}.${step.index}`, step, begins: step === first });
  return [
    ...(first ? [line(first)] : []),
    ...(turn ? [{ kind: "memory", key: `${index} memory`, turn } as const] : []),
    ...shown.map(line),
    ...(turn ? [{ kind: "end", key: `${index} end`, turn, last, prompt: first } as const] : []),
  ];
}

/** Steps without errors that repeat another error of the turn, as when an agent's exit fails its turn. */
function toldOnce(steps: Step[]): Step[] {
  const errors = steps.filter((step) => step.kind === "error");
  const repeats = (step: Step) => errors.some((other) => other !== step && tells(other, step) && (!tells(step, other) || other.index < step.index));
  return errors.length > 1 ? steps.filter((step) => step.kind !== "error" || !repeats(step)) : steps;
}

/** Whether one error contains the other. */
function tells(one: Step, other: Step): boolean {
  return (one.body?.text ?? "").includes((other.body?.text ?? "").trim().replace(/\.$/, ""));
}
