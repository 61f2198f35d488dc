// Steps and turns made for tests.
import type { Step, Tool, Turn } from "../src/lib/protocol.ts";

export function step(turn: number, index: number, kind: Step["kind"] = "message", text = "x"): Step {
  return { turn, index, kind, status: "completed", started: 0, ended: 0, nested: false, body: { text, length: text.length } };
}

export function toolStep(turn: number, index: number, fields: Partial<Tool>): Step {
  const nothing = { command: null, input: null, locations: null, blocks: [], permission: null, waited: 0, failure: null, exit_code: null };
  const tool = { title: "Tool", kind: "other", ...nothing, ...fields };
  return { turn, index, kind: "tool_call", status: "in_progress", started: 0, ended: 0, nested: false, tool };
}

export function turn(index: number, status: Turn["status"] = "completed"): Turn {
  const context = { context_used: null, context_size: null };
  const usage = { input: null, output: null, total: null, ...context, cost: null, currency: null, scope: null, remark: null };
  return {
    turn: index, status, started: 0, ended: null, waited: 0, stop_reason: null, outcome: status, model: null, usage, files: [], tier: null, handed_over: false, error: null,
    saving: false, durable_at: null, durability_error: null, workspace: "/w", attachment: "directory",
  };
}
