// Labels of the location and the durability of files.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { homeWords, type Kept, keptOf, memoryOf, reasonOf, savedLater, timeLeft } from "../src/lib/home.ts";
import type { Turn } from "../src/lib/protocol.ts";
import { statusOf } from "../src/lib/status.ts";
import { Transcript } from "../src/lib/transcript.ts";
import { toolStep, turn } from "./made.ts";

const BUCKET = { workspace: "s3://lab/x", attachment: "sync" };
const when = (millis: number) => `@${millis}`;
const made = (index: number, fields: Partial<Turn>): Turn => ({ ...turn(index), ...BUCKET, ...fields });
const kept = (fields: Partial<Turn>, later?: Turn): Kept | undefined => keptOf(made(1, fields), later, when);

test("every reason of the kernel has words", () => {
  const errors = readFileSync("../src/session_widgets/errors.py", "utf8");
  const names = [.../^Reason = Literal\[([^\]]*)\]/m.exec(errors)![1]!.matchAll(/"(\w+)"/g)].map((match) => match[1]);
  assert.ok(names.length > 10);
  for (const name of names) assert.ok(reasonOf(`${name}: x`).words, name);
});

test("a reason is taken off its text, and a text without one is left whole", () => {
  assert.deepEqual(reasonOf("disk: full\nof stars"), { words: "the disk is full", detail: "full\nof stars" });
  for (const text of ["constructor: x", "Error: x", "no colon", "", "unreachable", "__proto__: x"]) {
    assert.deepEqual(reasonOf(text), { words: undefined, detail: text });
  }
});

test("a home in two words", () => {
  const words = (workspace: string, attachment: string) => homeWords({ workspace, attachment });
  assert.equal(words("/a/b", "directory"), "folder");
  assert.equal(words("s3://lab/x", "sync"), "s3 · sync");
  assert.equal(words("s3://lab/x", "fuse:s3fs"), "s3 · s3fs");
  assert.equal(words("\u202Ehttp://x", "fuse:\u202E"), "remote · ⟨U+202E⟩");
});

test("a turn's files are on disk, saved, lost, or saved later", () => {
  assert.deepEqual(kept({ durable_at: 5, workspace: "/w", attachment: "directory" }), {
    state: "disk", words: "On disk", detail: "On disk since @5, in /w",
  });
  assert.deepEqual(kept({ durable_at: 5 }), { state: "saved", words: "Saved", detail: "Saved at @5 to s3://lab/x (s3 · sync)" });
  assert.deepEqual(kept({ durability_error: "expired: at noon" }), {
    state: "lost", words: "Not saved: the credentials have expired", detail: "at noon",
  });
  assert.deepEqual(kept({ durability_error: "oops" }), { state: "lost", words: "Not saved", detail: "oops" });
  assert.deepEqual(kept({ durability_error: "disk: full" }, made(3, { durable_at: 5 })), {
    state: "later", words: "Saved later, with turn 3", detail: "When this turn ended: full",
  });
  assert.equal(kept({}), undefined);
  assert.equal(kept({ status: "running", durability_error: "disk: full" }), undefined);
});

test("the first later turn of the same workspace saves what an earlier one could not", () => {
  const turns = [
    made(1, { durable_at: 1 }), made(2, { durability_error: "disk: full" }), made(3, { durability_error: "disk: full" }),
    made(4, { durable_at: 4, workspace: "/elsewhere" }), made(5, { durable_at: 5 }), made(6, { durable_at: 6 }),
    made(7, { durability_error: "disk: full" }),
  ];
  const sections = turns.map((turn) => ({ index: turn.turn, turn, count: 0, steps: [] }));
  assert.deepEqual(turns.map((turn) => savedLater(sections, turn)?.turn), [undefined, 5, 5, undefined, undefined, undefined, undefined]);
});

test("memory is spoken of only where it had to come back", () => {
  assert.equal(memoryOf(made(1, { tier: "fresh" })), undefined);
  assert.equal(memoryOf(made(2, { tier: "warm" })), undefined);
  assert.equal(memoryOf(made(2, { tier: null })), undefined);
  assert.match(memoryOf(made(2, { tier: "load", handed_over: true })) ?? "", /received the missing turns/);
  for (const tier of ["resume", "load", "replay", "fresh"]) assert.ok(memoryOf(made(2, { tier })), tier);
});

test("the status says what takes time between turns, and that a turn is being saved", () => {
  const transcript = new Transcript();
  const words = (fields: Partial<Turn>, activity: string | null) => {
    transcript.replace([1, 1], { turns: [made(1, fields)], steps: [toolStep(1, 0, { title: "x" })] });
    return statusOf(transcript, undefined, activity).words;
  };
  assert.equal(words({}, "Saving 12 files"), "Saving 12 files");
  assert.equal(words({}, null), "Ready");
  assert.equal(words({ status: "running", saving: true }, "Saving 12 files"), "Saving");
  assert.equal(words({ status: "running" }, "Saving 12 files"), "Working: x");
});

test("the time that a sandbox has left, and a warning before its end", () => {
  const left = (minutes: number) => timeLeft(1e12 + minutes * 60_000, 1e12);
  assert.deepEqual(left(23 * 60 + 59), { words: "23 h left", near: false });
  assert.deepEqual(left(119.9), { words: "119 min left", near: false });
  assert.deepEqual(left(5), { words: "5 min left", near: false });
  assert.deepEqual(left(4.5), { words: "4:30 left", near: true });
  assert.deepEqual(left(0), { words: "time is over", near: true });
  assert.deepEqual(left(-600), { words: "time is over", near: true });
});
