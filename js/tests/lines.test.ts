// The lines of a chat: their order, their keys, repeated errors.
import assert from "node:assert/strict";
import { test } from "node:test";
import { linesOf } from "../src/chat/lines.ts";
import { Transcript } from "../src/lib/transcript.ts";
import { step, turn } from "./made.ts";

const NOTHING = { missing: false, activity: false, outgoing: false };

function made(...errors: string[]): Transcript {
  const transcript = new Transcript();
  const failed = { ...turn(2, "failed"), error: "x" };
  const steps = [step(1, 0, "user"), step(1, 1), step(2, 0, "user"), ...errors.map((text, i) => step(2, i + 1, "error", text))];
  transcript.replace({ turns: [turn(1), failed], steps, earlier: true });
  return transcript;
}

const keys = (transcript: Transcript, around = NOTHING) => linesOf(transcript, around).map((line) => line.key);

test("a turn is its prompt, its memory, its steps and its end, and each line has a key of its own", () => {
  assert.deepEqual(keys(made(), { ...NOTHING, activity: true, outgoing: true }), [
    "earlier", "1.0", "1 memory", "1.1", "1 end", "2.0", "2 memory", "2 end", "activity", "outgoing",
  ]);
  const begins = linesOf(made(), NOTHING).flatMap((line) => (line.kind === "step" && line.begins ? [line.key] : []));
  assert.deepEqual(begins, ["1.0", "2.0"]);
  const ends = linesOf(made(), NOTHING).flatMap((line) => (line.kind === "end" ? [line.last] : []));
  assert.deepEqual(ends, [false, true]);
});

test("an error appears once, and not beside the card that says what is missing", () => {
  assert.deepEqual(keys(made("The agent exited.", "It failed: The agent exited.", "Other")).slice(-4), ["2 memory", "2.2", "2.3", "2 end"]);
  assert.deepEqual(keys(made("same", "same")).slice(-3), ["2 memory", "2.1", "2 end"]);
  assert.deepEqual(keys(made("No key."), { ...NOTHING, missing: true }).slice(-2), ["2 memory", "2 end"]);
});

test("a turn of which only the last steps are in the page has no prompt", () => {
  const transcript = new Transcript();
  transcript.replace({ turns: [turn(4)], steps: [step(4, 90), step(4, 91)], earlier: true });
  assert.deepEqual(keys(transcript), ["earlier", "4 memory", "4.90", "4.91", "4 end"]);
});
