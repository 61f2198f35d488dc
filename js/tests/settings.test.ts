// What the pickers of mode, model and effort show.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Session, Setting } from "../src/lib/protocol.ts";
import { pickersOf } from "../src/lib/settings.ts";

const SESSION = { model: null, mode: null, effort: null } as Session;
const choice = (id: string, name = id, description = "") => ({ id, name, description });
const MODE: Setting = { name: "mode", current: "ask", choices: [choice("ask", "Ask", "Asks first"), choice("plan", "Plan")] };

test("before the agent was started two pickers wait, and say what was asked for", () => {
  const [mode, model, ...others] = pickersOf({ ...SESSION, model: "sonnet" }, null, false);
  assert.deepEqual([mode?.words, model?.words, others.length], ["Mode", "sonnet", 0]);
  assert.match(mode!.reason!, /first prompt/);
});

test("an agent that offers nothing has no pickers", () => {
  assert.deepEqual(pickersOf(SESSION, [], false), []);
});

test("a picker shows what the agent uses, and says what that is", () => {
  const [mode] = pickersOf(SESSION, [MODE], false);
  assert.deepEqual([mode?.value, mode?.words, mode?.reason], ["ask", "Ask", undefined]);
  assert.equal(mode?.title, "Mode: Ask. Asks first");
});

test("what was asked for counts, and is marked while the agent has not heard of it", () => {
  const wanted = { ...SESSION, mode: "plan" };
  assert.equal(pickersOf(wanted, [MODE], true)[0]?.title, "Mode: Plan. From the next prompt on");
  assert.equal(pickersOf(wanted, [MODE], false)[0]?.title, "Mode: Plan");
});

test("a value that is not offered is listed all the same", () => {
  const [mode] = pickersOf({ ...SESSION, mode: "gateway/x" }, [MODE], false);
  assert.deepEqual([mode?.words, mode?.choices.map(({ id }) => id)], ["gateway/x", ["gateway/x", "ask", "plan"]]);
  const silent: Setting = { name: "effort", current: null, choices: [choice("low")] };
  assert.deepEqual([pickersOf(SESSION, [silent], false)[0]?.words], ["Default"]);
});

test("hostile names stay one line and show what they hide", () => {
  const hostile: Setting = { name: "model", current: "x", choices: [choice("x", "a\u202Eb\nc", "d\u202E")] };
  const [model] = pickersOf(SESSION, [hostile], false);
  assert.equal(model?.words, "a⟨U+202E⟩b c");
  assert.equal(model?.title, "Model: a⟨U+202E⟩b c. d⟨U+202E⟩");
});
