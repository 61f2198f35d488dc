// The modules that need no page: words, terminal colours, diffs, the tree, the status.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Tree } from "../src/files/tree.ts";
import { ansiRuns, stripAnsi } from "../src/lib/ansi.ts";
import { diffRows } from "../src/lib/diff.ts";
import type { FileEntry, Listing } from "../src/lib/protocol.ts";
import { statusOf } from "../src/lib/status.ts";
import { bytes, clock, count, duration, line, visible } from "../src/lib/text.ts";
import { Transcript } from "../src/lib/transcript.ts";
import { step, toolStep, turn } from "./made.ts";

test("numbers read as people write them", () => {
  assert.deepEqual([0, 999, 1000, 1_049_000, 2 ** 30, 999_999].map(bytes), ["0 B", "999 B", "1.0 kB", "1.0 MB", "1.1 GB", "1.0 MB"]);
  assert.deepEqual([12, 1500, 59_900, 125_000, 3_700_000].map(duration), ["12 ms", "1.5 s", "59 s", "2 min 5 s", "1 h 1 min"]);
  assert.deepEqual([0, 7000, 754_000, 3_723_000].map(clock), ["0:00", "0:07", "12:34", "1:02:03"]);
  assert.deepEqual([7, 4210, 12_400, 1_200_000].map(count), ["7", "4.2k", "12k", "1.2M"]);
});

test("hidden and reordering characters are drawn", () => {
  assert.equal(visible("a\u202Eb\u0000c"), "a⟨U+202E⟩b⟨U+0000⟩c");
  assert.equal(line("a\n b\u2067", 10), "a b⟨U+2067⟩");
  assert.equal(line("x".repeat(5_000_000), 5), "xxxxx…");
  assert.equal(visible("שלום"), "שלום");
});

test("colours are kept, everything else a terminal obeys is dropped", () => {
  assert.deepEqual(ansiRuns("\x1b[1;31mred\x1b[0m plain"), [
    { text: "red", classes: "sw-ansi-1 sw-ansi-bold", rgb: undefined },
    { text: " plain", classes: "", rgb: undefined },
  ]);
  assert.equal(ansiRuns("\x1b[38;5;208mo")[0]?.rgb, "255 135 0");
  assert.equal(ansiRuns("\x1b[38;2;1;2;999mt")[0]?.rgb, "1 2 255");
  assert.equal(stripAnsi("\x1b]0;title\x07a\x1b[2J\x1b[10;3Hb\x1b]8;;http://x\x1b\\c\x1b["), "abc");
  assert.equal(stripAnsi("10%\r50%\r100%\r\ndone\r"), "100%\ndone");
});

test("a colour is three numbers, whatever the sequence says", () => {
  for (const run of ansiRuns("\x1b[38;2;1);background:url(x);2;3mx\x1b[38;5;x9mz")) {
    assert.match(run.rgb ?? "0 0 0", /^\d{1,3} \d{1,3} \d{1,3}$/);
  }
});

test("a diff shows changed lines with their numbers and three lines around", () => {
  const before = Array.from({ length: 20 }, (_, i) => `line ${i + 1}`).join("\n");
  const { rows, added, removed } = diffRows(before, before.replace("line 10", "line ten"));
  assert.deepEqual([added, removed], [1, 1]);
  assert.deepEqual(rows[0], { kind: "skip", old: undefined, new: undefined, text: "6 unchanged lines" });
  assert.deepEqual(rows.filter((row) => row.kind !== "same").slice(1), [
    { kind: "del", old: 10, new: undefined, text: "line 10" },
    { kind: "add", old: undefined, new: 10, text: "line ten" },
  ]);
});

test("a new file is all additions, and two unlike texts end in time", () => {
  assert.deepEqual([diffRows(null, "a\nb\n").added, diffRows("a", "a").rows.length], [2, 0]);
  const noise = (seed: number) => Array.from({ length: 20_000 }, (_, i) => String((i * seed) % 7919)).join("\n");
  const started = performance.now();
  assert.ok(diffRows(noise(31), noise(17)).added > 0);
  assert.ok(performance.now() - started < 3000);
});

const file = (path: string, size = 1): FileEntry => ({ path, name: path.split("/").at(-1) ?? "", type: "file", size, modified: size });
const folder = (path: string): FileEntry => ({ ...file(path), type: "directory" });
const listing = (path: string, ...entries: FileEntry[]): [string, Listing] => [path, { type: "listing", path, entries, more: 0, error: null }];

test("the tree marks what is new and what changed, and a closed folder carries the mark", () => {
  const tree = new Tree();
  tree.update(new Map([listing("", folder("src"), file("a")), listing("src", file("src/b"))]));
  assert.equal(tree.marks.size, 0);
  tree.update(new Map([listing("", folder("src"), file("a", 2), file("c")), listing("src", file("src/b"), file("src/d"))]));
  const marks = () => tree.rows().map((row) => ("entry" in row ? [row.entry.path, row.mark] : []));
  assert.deepEqual(marks(), [["src", "changed"], ["a", "changed"], ["c", "new"]]);
  tree.open.add("src");
  tree.seen("a");
  assert.deepEqual(marks(), [["src", undefined], ["src/b", undefined], ["src/d", "new"], ["a", undefined], ["c", "new"]]);
});

test("a file that the bucket dates otherwise than the sandbox is no news", () => {
  const tree = new Tree();
  tree.update(new Map([listing("", file("a"), file("b"))]));
  tree.sandboxRunning = false;
  const dated = (path: string, size: number, modified: number | null) => ({ ...file(path, size), modified });
  tree.update(new Map([listing("", dated("a", 1, 99), dated("b", 2, null))]));
  assert.deepEqual([...tree.marks.keys()], ["b"]);
  tree.update(new Map([listing("", dated("a", 1, 100), dated("b", 2, null))]));
  assert.deepEqual([...tree.marks.keys()], ["b", "a"]);
});

test("the tree says what it cannot show", () => {
  const tree = new Tree();
  assert.deepEqual(tree.rows(), [{ level: 1, path: "", words: "Loading…" }]);
  tree.update(new Map([["", { type: "listing", path: "", entries: [], more: 0, error: "no such directory" }]]));
  assert.deepEqual(tree.rows(), [{ level: 1, path: "", words: "no such directory" }]);
});

test("a harness's own state is neither news nor work, and a deleted session has no files", () => {
  const tree = new Tree();
  tree.update(new Map([listing("")]));
  assert.equal(tree.empty, true);
  tree.update(new Map([listing("", folder(".harness")), listing(".harness", file(".harness/a"))]));
  tree.update(new Map([listing(".harness", file(".harness/a", 2), file(".harness/b"))]));
  assert.deepEqual([tree.empty, tree.marks.size], [true, 0]);
  tree.update(new Map([listing("", folder(".harness"), file(".harness.md"))]));
  assert.deepEqual([tree.empty, [...tree.marks.keys()]], [false, [".harness.md"]]);
  tree.deleted = true;
  assert.deepEqual(tree.rows(), [{ level: 1, path: "", words: "The session was deleted." }]);
});

test("the status says what the agent does", () => {
  const transcript = new Transcript();
  const words = () => statusOf(transcript).words;
  assert.equal(words(), "Ready");
  transcript.replace([1, 1], { turns: [turn(1, "running")], steps: [step(1, 0, "user")] });
  assert.equal(words(), "Starting");
  transcript.apply({ type: "step", step: toolStep(1, 1, { kind: "execute", command: { text: "make", length: 4 } }) });
  assert.equal(words(), "Running: make");
  transcript.apply({ type: "step", step: toolStep(1, 1, { permission: { request: "r", options: [], outcome: null, option: null, by: null, reason: null } }) });
  assert.deepEqual([words(), statusOf(transcript).tone], ["Waiting for your permission", "waiting"]);
  transcript.apply({ type: "turn", turn: turn(1, "failed") });
  assert.equal(words(), "Failed");
});

test("a pile of accents is cut, and words of any language are not", () => {
  assert.equal(visible(`a${"\u0301".repeat(1000)}b`), `a${"\u0301".repeat(32)}⟨968 more accents⟩b`);
  const words = "naïve Việt क्षत्रिय 👩‍👩‍👧‍👦 e\u0301".repeat(100);
  assert.equal(visible(words), words);
});

test("a carriage return leaves the last state of its line, in time that grows with the text", () => {
  assert.equal(stripAnsi("10 %\r20 %\r\nend\rEND\n\rx\ry\r\r"), "20 %\nEND\ny");
  const began = performance.now();
  assert.equal(stripAnsi(`\r${"x".repeat(200_000)}`).length, 200_000);
  assert.equal(stripAnsi("\rx".repeat(100_000)), "x");
  assert.ok(performance.now() - began < 1000);
});
