// Runs side by side as data: what the kernel sends, and which lines a page draws of it. Pure.
// The types are those of src/session_widgets/widgets/_comparison.py and _final_files.py.
import type { Step, Text } from "../lib/protocol.ts";

export interface Run {
  id: string;
  title: string | null;
  harness: string;
  model: string | null;
  origin: string;
  /** The workspace's path; paths below it are shown without it. */
  root: string;
  outcome: string | null;
  /** The store does not have it. */
  missing: boolean;
  /** The store had it when it was compared first. */
  deleted: boolean;
  running: boolean;
}

/** A figure of all runs as text, and its difference to that of the first run. */
export interface Metric {
  label: string;
  values: string[];
  differences: string[];
}

/** Where the runs part in one respect; `column` is the number of columns if only the end differs. */
export interface Divergence {
  name: string;
  column: number | null;
  detail: string;
}

export interface Comparison {
  runs: Run[];
  metrics: Metric[];
  divergences: Divergence[];
  /** A character a column: "=" equal actions, "~" similar ones, "!" different ones. */
  signs: string;
  /** Why there is no alignment. */
  problem: string;
}

/** A tool call in a column, and the start of what was said before it. */
export interface Cell {
  turn: number;
  index: number;
  kind: string;
  title: string;
  failed: boolean;
  said: string;
  said_kind: string;
  steps: number;
}

/** A column in all runs; null where a run has no tool call. */
export type Cells = (Cell | null)[];

/** The steps of a column, of each run. */
export type ColumnSteps = Step[][];

export interface FinalFile {
  state: "kept" | "unknown" | "absent";
  group: number | null;
  size: number | null;
}

export interface FilesRow {
  file: number;
  path: string;
  same: boolean;
  cells: (FinalFile | null)[];
}

export interface FinalFiles {
  rows: FilesRow[];
  more: number;
  sources: ("snapshot" | "edits" | "")[];
}

/** The text of a file in each run. */
export type FileTexts = (Text | null)[];

/** A line: one column, a stretch of equal columns, or the ends of the runs. */
export type Line = { kind: "column"; column: number } | { kind: "fold"; first: number; last: number; open: boolean } | { kind: "end"; column: number };

/** Equal columns in a row from which they are one line. */
export const FOLD = 4;

/** The respects in which the runs part, by column. */
export function marksOf(comparison: Comparison): Map<number, Divergence[]> {
  const marks = new Map<number, Divergence[]>();
  for (const one of comparison.divergences) {
    if (one.column !== null) marks.set(one.column, [...(marks.get(one.column) ?? []), one]);
  }
  return marks;
}

/** All lines; `open` has the first columns of stretches that a person opened. */
export function linesOf(signs: string, marks: ReadonlyMap<number, unknown>, open: ReadonlySet<number>): Line[] {
  const lines: Line[] = [];
  for (let column = 0; column < signs.length; column++) {
    let end = column;
    while (end < signs.length && signs[end] === "=" && !marks.has(end)) end++;
    if (end - column >= FOLD) {
      const shown = open.has(column);
      lines.push({ kind: "fold", first: column, last: end - 1, open: shown });
      if (shown) for (let one = column; one < end; one++) lines.push({ kind: "column", column: one });
      column = end - 1;
    } else {
      lines.push({ kind: "column", column });
    }
  }
  lines.push({ kind: "end", column: signs.length });
  return lines;
}

/** The line of a column, or of the stretch that contains it. */
export function lineOf(lines: Line[], column: number): number {
  return Math.max(0, lines.findIndex((line) => (line.kind === "fold" ? !line.open && line.first <= column && column <= line.last : line.column === column)));
}

/** The next column with a divergence in a direction; undefined if there is none. */
export function nextMark(marks: ReadonlyMap<number, unknown>, column: number, by: 1 | -1): number | undefined {
  const all = [...marks.keys()].sort((a, b) => a - b);
  return by > 0 ? all.find((one) => one > column) : all.findLast((one) => one < column);
}

/** Where a divergence is, in words. */
export function placeOf(one: Divergence, comparison: Comparison): string {
  if (one.column === null) return "alike";
  return one.column === comparison.signs.length ? "at the end" : `step ${one.column + 1}`;
}
