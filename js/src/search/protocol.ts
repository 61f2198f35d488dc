// What a search and its page exchange. `widgets/_search_wire.py` is the same in Python.

/** A filter that is not set is null. */
export interface Asked {
  text: string;
  regex: boolean;
  case: boolean;
  harness: string[] | null;
  model: string | null;
  tool: string[] | null;
  kind: string[] | null;
  error: boolean | null;
  file: string | null;
  since: string | null;
  until: string | null;
  session: string[] | null;
}

/** `state` is "idle" before the first one; `done` is the searched part of the steps, 0 to 1. */
export interface Search {
  n: number;
  asked: Asked;
  state: "idle" | "running" | "over";
  done: number;
  found: number;
  sessions: number;
  steps: number;
  seconds: number;
  /** Why it is not complete. */
  reason: string | null;
  /** What would find more. */
  more: "limit" | "time" | "again" | null;
  error: string | null;
}

export interface Hit {
  session: string;
  turn: number;
  step: number;
  kind: string;
  tool: string | null;
  title: string | null;
  field: string;
  before: string;
  match: string;
  after: string;
  at: number;
  harness: string | null;
  model: string | null;
}

/** What the store has to choose from, the most frequent first. */
export interface Choices {
  sessions: number;
  steps: number;
  harness: string[];
  model: string[];
  tool: string[];
  kind: string[];
}

export type Message =
  | { kind: "search"; search: Search }
  | { kind: "hits"; n: number; first: number; hits: Hit[]; titles: Record<string, string | null> };
