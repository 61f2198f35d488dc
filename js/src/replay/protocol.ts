// What a replay and its page exchange. `widgets/_replay_wire.py` is the same in Python.
import type { Step, Turn } from "../lib/protocol.ts";

/** What is shown before any moment; `version` changes when a step was put between others. */
export interface Replay {
  id: string;
  title: string;
  harness: string;
  model: string | null;
  root: string;
  last: number;
  version: number;
  live: boolean;
  reading: boolean;
  error: string | null;
  at: number | null;
  /** Turn and index of the step to begin with, among those that event `at` changed. */
  step: [number, number] | null;
}

/** Comes with four buffers of numbers, see `Timeline.grow`. */
export interface TimelineHead {
  version: number;
  last: number;
  started: number | null;
  marks: string[];
}

export interface Command {
  turn: number;
  index: number;
  command: string;
  output: string;
  cut: boolean;
  status: string;
  exit_code: number | null;
}

export interface FileState {
  path: string;
  state: "known" | "unknown" | "deleted";
  reason: string;
  seq: number;
  now: boolean;
}

/** The session after event `seq`; rows before `same` are as they were before. */
export interface Moment {
  seq: number;
  ts: number | null;
  count: number;
  same: number;
  place: number;
  changed: Step | null;
  turn: Turn | null;
  plan: Step | null;
  commands: Command[];
  files: FileState[];
  more_files: number;
  first: number;
  rows: Step[];
}

export interface FileText extends Omit<FileState, "now"> {
  text: string | null;
  length: number;
}

/** `moment`: the one to begin with, for a page that has none; `timeline` is with it if it is short, with its buffers. */
export type FromKernel = { kind: "replay"; replay: Replay; moment: Moment | null; timeline: TimelineHead | null };
