// Rows by place: which pages are wanted, which are held, what becomes old.
import assert from "node:assert/strict";
import { test } from "node:test";
import { RowModel } from "../src/rows/model.ts";

const rows = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => `row ${first + i}`);

test("only what is missing is wanted, in whole pages, and once", () => {
  const model = new RowModel<string>(10);
  model.resize(95);
  assert.deepEqual(model.wanted(12, 27), [{ first: 10, last: 29 }]);
  assert.deepEqual(model.wanted(12, 27), [], "it is on its way");
  model.put(10, rows(10, 29));
  assert.deepEqual([model.get(9), model.get(10), model.get(29), model.get(30)], [undefined, "row 10", "row 29", undefined]);
  assert.deepEqual(model.wanted(0, 200), [{ first: 0, last: 9 }, { first: 30, last: 94 }]);
  model.failed({ first: 30, last: 94 });
  assert.deepEqual(model.wanted(90, 94), [{ first: 90, last: 94 }], "what failed is wanted again");
});

test("another number of rows drops what is beyond it and what has changed", () => {
  const model = new RowModel<string>(10);
  model.resize(40);
  model.put(0, rows(0, 39));
  model.resize(60, 35);
  assert.deepEqual([model.get(34), model.get(35), model.wanted(0, 59)], ["row 34", undefined, [{ first: 30, last: 59 }]]);
  model.resize(5);
  assert.deepEqual([model.get(4), model.get(5), model.wanted(0, 9)], ["row 4", undefined, []]);
  model.put(0, rows(0, 9));
  assert.equal(model.get(5), undefined, "rows that came too late are dropped");
});

test("the pages seen last are held, whatever the length", () => {
  const model = new RowModel<string>(10, 3);
  model.resize(1_000_000);
  for (const first of [0, 500_000, 999_990]) {
    assert.equal(model.wanted(first, first + 9).length, 1);
    model.put(first, rows(first, first + 9));
  }
  model.wanted(0, 9);
  model.put(40, rows(40, 49));
  assert.deepEqual([0, 500_000, 999_990, 40].map((place) => model.get(place) !== undefined), [true, false, true, true]);
});
