// Steps and turns made for tests.
import type { Step, Tool, Turn } from "../src/lib/protocol.ts";

export function step(turn: number, index: number, kind: Step["kind"] = "message", text = "x"): Step {
  return { turn, index, kind, status: "completed", started: 0, ended: 0, body: { text, length: text.length } };
}

export function toolStep(turn: number, index: number, fields: Partial<Tool>): Step {
  const tool = { title: "Tool", kind: "other", command: null, input: null, locations: null, blocks: [], permission: null, ...fields };
  return { turn, index, kind: "tool_call", status: "in_progress", started: 0, ended: 0, tool };
}

export function turn(index: number, status: Turn["status"] = "completed"): Turn {
  const usage = { input: null, output: null, total: null, context_used: null, context_size: null, cost: null, currency: null };
  return {
    turn: index, status, started: 0, ended: null, stop_reason: null, usage, files: [], tier: null, handed_over: false, error: null,
    saving: false, durable_at: null, durability_error: null, workspace: "/w", attachment: "directory",
  };
}
