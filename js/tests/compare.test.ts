// Which lines of compared runs are drawn, and where the jumps lead.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Comparison, lineOf, linesOf, marksOf, nextMark, placeOf } from "../src/compare/model.ts";

const shape = (signs: string, marked: number[] = [], open: number[] = []) =>
  linesOf(signs, new Map(marked.map((column) => [column, []])), new Set(open)).map((line) => (line.kind === "fold" ? `${line.first}-${line.last}` : line.kind === "end" ? "end" : line.column));

test("equal stretches are one line, unless they are short, marked or opened", () => {
  assert.deepEqual(shape("=====!~==="), ["0-4", 5, 6, 7, 8, 9, "end"]);
  assert.deepEqual(shape("==!===="), [0, 1, 2, "3-6", "end"]);
  assert.deepEqual(shape("==========", [4]), ["0-3", 4, "5-9", "end"]);
  assert.deepEqual(shape("=====", [], [0]), ["0-4", 0, 1, 2, 3, 4, "end"]);
  assert.deepEqual(shape(""), ["end"]);
  assert.deepEqual(shape("!!!!!"), [0, 1, 2, 3, 4, "end"]);
});

test("every column has a line, folded or not", () => {
  const signs = "=".repeat(9) + "!" + "=".repeat(5) + "~~" + "===";
  for (const open of [[], [0], [0, 10]]) {
    const lines = linesOf(signs, new Map(), new Set(open));
    for (let column = 0; column <= signs.length; column++) {
      const line = lines[lineOf(lines, column)]!;
      assert.ok(line.kind === "fold" ? !line.open && line.first <= column && column <= line.last : line.column === column, `${column}`);
    }
  }
});

const comparison: Comparison = {
  runs: [], metrics: [], problem: "", signs: "===!!",
  divergences: [
    { name: "action", column: 3, detail: "" },
    { name: "file state", column: 3, detail: "" },
    { name: "edit", column: null, detail: "" },
    { name: "outcome", column: 5, detail: "" },
  ],
};

test("jumps lead to the divergences in order", () => {
  const marks = marksOf(comparison);
  assert.deepEqual([...marks].map(([column, all]) => [column, all.map((one) => one.name)]), [[3, ["action", "file state"]], [5, ["outcome"]]]);
  assert.deepEqual([nextMark(marks, 0, 1), nextMark(marks, 3, 1), nextMark(marks, 5, 1)], [3, 5, undefined]);
  assert.deepEqual([nextMark(marks, 5, -1), nextMark(marks, 3, -1)], [3, undefined]);
  assert.deepEqual(comparison.divergences.map((one) => placeOf(one, comparison)), ["step 4", "step 4", "alike", "at the end"]);
});
