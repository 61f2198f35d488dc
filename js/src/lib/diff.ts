// A change to a file as rows to draw: changed lines with three lines around them. Pure.
import { structuredPatch } from "diff";

export interface Row {
  kind: "add" | "del" | "same" | "skip";
  old: number | undefined;
  new: number | undefined;
  text: string;
}

export interface Rows {
  rows: Row[];
  added: number;
  removed: number;
}

const CONTEXT = 3;
const EFFORT = { timeout: 200, maxEditLength: 4000 };

export function diffRows(before: string | null, after: string): Rows {
  const patch = structuredPatch("", "", before ?? "", after, "", "", { context: CONTEXT, ...EFFORT });
  const rows = patch ? hunkRows(patch.hunks) : wholeRows(before ?? "", after);
  return {
    rows,
    added: rows.filter((row) => row.kind === "add").length,
    removed: rows.filter((row) => row.kind === "del").length,
  };
}

interface Hunk {
  oldStart: number;
  newStart: number;
  lines: string[];
}

function hunkRows(hunks: Hunk[]): Row[] {
  const rows: Row[] = [];
  let shown = 1;
  for (const hunk of hunks) {
    let [old, now] = [hunk.oldStart, hunk.newStart];
    if (hunk.oldStart > shown) {
      const hidden = hunk.oldStart - shown;
      rows.push({ kind: "skip", old: undefined, new: undefined, text: `${hidden} unchanged ${hidden === 1 ? "line" : "lines"}` });
    }
    for (const text of hunk.lines) {
      const sign = text[0];
      const rest = text.slice(1);
      if (sign === "+") rows.push({ kind: "add", old: undefined, new: now++, text: rest });
      else if (sign === "-") rows.push({ kind: "del", old: old++, new: undefined, text: rest });
      else if (sign === " ") rows.push({ kind: "same", old: old++, new: now++, text: rest });
    }
    shown = old;
  }
  return rows;
}

/** For two texts too different to compare in time: all lines of one, then all lines of the other. */
function wholeRows(before: string, after: string): Row[] {
  const lines = (text: string) => (text ? text.replace(/\n$/, "").split("\n") : []);
  return [
    ...lines(before).map((text, i): Row => ({ kind: "del", old: i + 1, new: undefined, text })),
    ...lines(after).map((text, i): Row => ({ kind: "add", old: undefined, new: i + 1, text })),
  ];
}
