// The whole steps of a run in one column, drawn by the rows that every view shares; tool calls are open.
import type { TemplateResult, nothing } from "lit-html";
import type { Step } from "../lib/protocol.ts";
import type { Rpc } from "../lib/rpc.ts";
import { stepRow } from "../rows/step.ts";
import { RowUi } from "../rows/ui.ts";

/** The rows' state of one run: its requests name the run. */
export class RunUi extends RowUi {
  private calls = new Set<string>();

  constructor(rpc: Rpc, run: number, root: string, redraw: () => void) {
    super({ call: (op, args) => rpc.call(op, { run, ...args }), root: () => root }, redraw);
  }

  override isOpen(key: string, byDefault: boolean): boolean {
    return super.isOpen(key, byDefault || this.calls.has(key));
  }

  row(step: Step): TemplateResult | typeof nothing {
    if (step.kind === "tool_call") this.calls.add(`${step.turn}.${step.index}`);
    return stepRow(this, step);
  }
}
