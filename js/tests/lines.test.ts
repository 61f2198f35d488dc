// The lines of a chat: their order, their keys, repeated errors, and the places of steps that the page does not hold.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Around, type Line, Lines } from "../src/chat/lines.ts";
import { Transcript } from "../src/lib/transcript.ts";
import { step, turn } from "./made.ts";

const NOTHING = { missing: false, activity: false, outgoing: false };

function made(...errors: string[]): Transcript {
  const transcript = new Transcript();
  const failed = { ...turn(2, "failed"), error: "x" };
  const steps = [step(1, 0, "user"), step(1, 1), step(2, 0, "user"), ...errors.map((text, i) => step(2, i + 1, "error", text))];
  transcript.replace([1, 2, 2, 1 + errors.length], { turns: [turn(1), failed], steps });
  return transcript;
}

function linesOf(transcript: Transcript, around: Around = NOTHING): Line[] {
  const lines = new Lines(transcript, around);
  const keys = new Set(Array.from({ length: lines.count }, (_, place) => lines.key(place)));
  assert.equal(keys.size, lines.count, "each line has a key of its own");
  return Array.from({ length: lines.count }, (_, place) => lines.at(place));
}

function words(transcript: Transcript, around: Around = NOTHING): string[] {
  return linesOf(transcript, around).flatMap((one) => {
    if (one.kind === "step") return [`${one.step.turn}.${one.step.index}`];
    if (one.kind === "memory" || one.kind === "end") return [`${one.turn.turn} ${one.kind}`];
    return one.kind === "none" ? [] : [one.kind];
  });
}

test("a turn is its prompt, its memory, its steps and its end", () => {
  assert.deepEqual(words(made(), { ...NOTHING, activity: true, outgoing: true }), [
    "1.0", "1 memory", "1.1", "1 end", "2.0", "2 memory", "2 end", "activity", "outgoing",
  ]);
  const begins = linesOf(made()).flatMap((line) => (line.kind === "step" && line.begins ? [line.step.turn] : []));
  assert.deepEqual(begins, [1, 2]);
  const ends = linesOf(made()).flatMap((line) => (line.kind === "end" ? [line.last] : []));
  assert.deepEqual(ends, [false, true]);
});

test("an error appears once, and not beside the card that says what is missing", () => {
  assert.deepEqual(words(made("The agent exited.", "It failed: The agent exited.", "Other")).slice(-4), ["2 memory", "2.2", "2.3", "2 end"]);
  assert.deepEqual(words(made("same", "same")).slice(-3), ["2 memory", "2.1", "2 end"]);
  assert.deepEqual(words(made("No key."), { ...NOTHING, missing: true }).slice(-2), ["2 memory", "2 end"]);
});

test("a turn without a prompt begins with its memory", () => {
  const transcript = new Transcript();
  transcript.replace([1, 2, 3, 0], { turns: [turn(1), turn(3)], steps: [step(1, 0), step(1, 1)] });
  assert.deepEqual(words(transcript), ["1 memory", "1.0", "1.1", "1 end", "3 memory", "3 end"]);
});

test("steps that the page does not hold have their places, and are known as missing", () => {
  const transcript = new Transcript();
  transcript.replace([1, 50_000, 2, 3, 4, 50_000], { turns: [turn(4)], steps: [step(4, 49_998), step(4, 49_999)] });
  const lines = new Lines(transcript, NOTHING);
  assert.equal(lines.count, 100_003 + 6);
  for (const cursor of [[1, 0], [1, 1], [1, 49_999], [2, 0], [2, 2], [4, 49_999]] as const) {
    const place = lines.place([...cursor]);
    assert.deepEqual(lines.cursors(place, place), [[...cursor], [...cursor]], String(cursor));
    assert.equal(lines.at(place).kind, cursor[0] === 4 ? "step" : "missing");
  }
  assert.deepEqual([lines.place([1, 50_000]), lines.place([3, 0])], [-1, -1]);
  const [first, last] = [lines.place([1, 49_998]), lines.place([4, 1])];
  assert.deepEqual(lines.missing(first, last), [[1, 49_998], [4, 1]]);
  transcript.add({ turns: [turn(1), turn(2)], steps: [step(1, 49_998), step(1, 49_999), step(2, 0, "user"), step(2, 1)] });
  assert.deepEqual(lines.missing(first, last), [[2, 2], [4, 1]]);
  assert.equal(lines.missing(lines.count - 3, lines.count + 9), undefined);
});
