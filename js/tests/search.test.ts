// The hits of a search as lines.
import assert from "node:assert/strict";
import { test } from "node:test";
import { contextOf, linesOf } from "../src/search/lines.ts";
import type { Hit } from "../src/search/protocol.ts";

const hit = (session: string, more: Partial<Hit> = {}): Hit => ({
  session, turn: 1, step: 0, kind: "message", tool: null, title: null, field: "text", before: "", match: "m", after: "", at: 0, harness: null, model: null, ...more,
});

test("hits stand below their session, in the order of its newest one", () => {
  const hits = [hit("b"), hit("a"), hit("b")];
  assert.deepEqual(linesOf(hits, new Set()).map(({ key }) => key), ["s b", "h 0", "h 2", "s a", "h 1"]);
  const folded = linesOf(hits, new Set(["b"]));
  assert.deepEqual(folded.map(({ key }) => key), ["s b", "s a", "h 1"]);
  assert.deepEqual(folded[0], { kind: "session", key: "s b", session: "b", hits: 2, first: 0, open: false });
});

test("the text before a match is cut so that the match is in view", () => {
  const [before, match, after] = contextOf(hit("a", { before: `${"x ".repeat(39)}\n\n`, match: "the\nmatch", after: `${"y".repeat(80)}` }));
  assert.equal(before.length, 49);
  assert.ok(before.startsWith("…") && before.endsWith("x "));
  assert.deepEqual([match, after], ["the match", `${"y".repeat(80)}…`]);
  assert.deepEqual(contextOf(hit("a", { before: "  short ", after: " end " })), ["short ", "m", " end"]);
});
