// The time line of a replay: times, stops, marks.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Timeline, type Unit } from "../src/replay/timeline.ts";

const KINDS = ["prompt", "edit", "error"];
const head = (last: number) => ({ version: 0, last, started: 0, marks: KINDS });

/** Nine events; steps 1/0, 1/1 and 2/0 begin with events 2, 4 and 7. */
function made(clock = [0, 0, 1000, 1000, 2000, 3000, 6000, 6000, 7000]): Timeline {
  const timeline = new Timeline();
  timeline.grow(head(9), [Int32Array.from(clock), Int32Array.of(1, 0, 2, 1, 1, 4, 2, 0, 7), Int32Array.of(0, 2, 1, 0, 1, 5, 1, 1, 2, 6, 1, 1, 1, 8, 2, 0), Int32Array.of(7, 60)]);
  return timeline;
}

function walk(timeline: Timeline, unit: Unit, from: number, by: 1 | -1): number[] {
  const found: number[] = [];
  for (let seq = from; found.at(-1) !== seq && found.length < 12; seq = timeline.stop(unit, seq, by)) found.push(seq);
  return found;
}

test("the stops of events, steps and turns, forth and back", () => {
  const timeline = made();
  assert.deepEqual(walk(timeline, "event", 6, 1), [6, 7, 8, 9]);
  assert.deepEqual(walk(timeline, "step", 1, 1), [1, 3, 6, 9]);
  assert.deepEqual(walk(timeline, "step", 9, -1), [9, 6, 3, 1]);
  assert.deepEqual(walk(timeline, "turn", 1, 1), [1, 6, 9]);
  assert.deepEqual([timeline.snapped("step", 5), timeline.snapped("step", 2), timeline.snapped("turn", 8), timeline.snapped("event", 5)], [3, 1, 6, 5]);
  assert.deepEqual([timeline.ends(1, 0), timeline.ends(1, 1), timeline.ends(2, 0)], [3, 6, 9], "a step as it is before the next one begins");
});

test("an event for each time, and a time for each event", () => {
  const timeline = made();
  assert.deepEqual([0, 999, 1000, 5999, 6000, 1e9].map((time) => timeline.seqAt(time)), [2, 2, 4, 6, 8, 9]);
  assert.equal(timeline.fraction(7), 6 / 7);
  const even = made(new Array(9).fill(0));
  assert.deepEqual([even.fraction(1), even.fraction(5), even.fraction(9)], [0, 0.5, 1], "events without times of their own stand evenly");
  for (let seq = 1; seq <= 9; seq++) assert.equal(even.seqAt(even.time(seq)), seq);
  assert.deepEqual([new Timeline().seqAt(5), new Timeline().stop("step", 0, 1), new Timeline().fraction(0)], [0, 0, 0]);
});

test("jumps to the next and the previous mark of a kind", () => {
  const timeline = made();
  const jumps = (kind: string, from: number) => [timeline.jump(kind, from, -1)?.seq, timeline.jump(kind, from, 1)?.seq];
  assert.deepEqual([jumps("edit", 5), jumps("edit", 6), jumps("", 5), jumps("error", 6)], [[undefined, 8], [5, 8], [2, 6], [undefined, undefined]]);
  assert.deepEqual(KINDS.map((kind) => timeline.count(kind)), [1, 2, 1]);
});

test("the number of events is known before their times", () => {
  const timeline = new Timeline(9);
  assert.deepEqual([timeline.last, timeline.events, timeline.seqAt(1e9)], [9, 0, 9]);
  timeline.grow(head(9), [new Int32Array(9), new Int32Array(), new Int32Array(), new Int32Array()]);
  assert.deepEqual([timeline.last, timeline.events], [9, 9]);
});

test("it grows with the session", () => {
  const timeline = made();
  assert.deepEqual(timeline.have(), { clock: 9, steps: 3, marks: 4, pauses: 1 });
  timeline.grow(head(11), [Int32Array.of(8000, 9000), Int32Array.of(2, 1, 10), Int32Array.of(2, 11, 2, 1), new Int32Array()]);
  assert.deepEqual([timeline.last, timeline.span, walk(timeline, "step", 6, 1), timeline.jump("error", 6, 1)], [11, 9000, [6, 9, 11], { kind: "error", seq: 11 }]);
});
