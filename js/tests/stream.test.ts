// The page's end of the stream: order, gaps, windows, requests.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Client } from "../src/lib/client.ts";
import type { Batch, Item, Model, Reply, Snapshot, Step, ToKernel } from "../src/lib/protocol.ts";
import { Transcript, WINDOW } from "../src/lib/transcript.ts";
import { step, turn } from "./made.ts";

class Wire implements Model {
  sent: ToKernel[] = [];
  dead = false;
  private listener: ((message: Batch | Snapshot | Reply) => void) | undefined;

  get = (): unknown => "";
  set(): void {}
  save_changes(): void {}
  on(_: string, listener: (...args: never[]) => void): void {
    this.listener = listener as (message: Batch | Snapshot | Reply) => void;
  }
  off(): void {}
  send(content: unknown): void {
    if (this.dead) throw new Error("Cannot send");
    this.sent.push(content as ToKernel);
  }
  deliver(message: Batch | Snapshot | Reply): void {
    this.listener?.(structuredClone(message));
  }
  hellos(): string[] {
    return this.sent.filter((message) => message.kind === "hello").map((message) => message.view);
  }
}

let open: Client[] = [];
afterEach(() => {
  for (const client of open) client.dispose();
  open = [];
});

function connected(): { wire: Wire; client: Client; view: string } {
  const wire = new Wire();
  const client = new Client(wire);
  open.push(client);
  return { wire, client, view: wire.hellos()[0] ?? "" };
}

const snapshot = (view: string | null, n: number, steps: Step[] = [step(1, 0)], reset = false): Snapshot => ({
  kind: "snapshot", view, reset, n, now: 0, listings: [], settings: null,
  session: { id: "s", title: null, harness: "demo", sandbox: "local", workspace: "/w", attachment: "directory", mount_report: "", root: "/w",
    model: null, mode: null, effort: null, agent: { title: "Demo", version: "1", suggestions: [] }, missing: null, permissions: "ask", status: "idle", sandbox_running: true, deadline: null, confined: false, turns: 1 },
  activity: null, cell_question: null, commands: [],
  counts: [1, steps.length], page: { turns: [turn(1, "running")], steps },
});
const batch = (n: number, ...items: Item[]): Batch => ({ kind: "batch", n, now: 0, items });
const append = (text: string, length: number): Item => ({ type: "append", turn: 1, index: 0, text, length, at: 0 });
const said = (client: Client) => client.transcript.sections.flatMap((section) => section.steps.map((one) => one.body?.text));

test("a page says hello, takes its snapshot, then batches in order", () => {
  const { wire, client, view } = connected();
  assert.equal(client.state, "connecting");
  wire.deliver(batch(3, append("early", 6)));
  wire.deliver(snapshot(view, 3));
  wire.deliver(batch(3, append("again", 6)));
  wire.deliver(batch(4, append("y", 2)));
  assert.deepEqual([client.state, said(client)], ["live", ["xy"]]);
});

test("a lost batch is noticed, nothing is drawn on top of the hole, and the answer heals it", () => {
  const { wire, client, view } = connected();
  wire.deliver(snapshot(view, 1));
  wire.deliver(batch(3, append("z", 3)));
  wire.deliver(batch(4, append("!", 4)));
  assert.deepEqual([client.state, said(client), wire.hellos().length], ["gap", ["x"], 2]);
  wire.deliver(snapshot(view, 4, [step(1, 0, "message", "xyz!")]));
  wire.deliver(batch(5, append("?", 5)));
  assert.deepEqual([client.state, said(client)], ["live", ["xyz!?"]]);
});

test("another page's snapshot is left alone; one for all helps who waits, and a reset everybody", () => {
  const { wire, client, view } = connected();
  wire.deliver(snapshot("another", 9));
  assert.equal(client.state, "connecting");
  wire.deliver(snapshot(null, 2));
  assert.equal(client.state, "live");
  wire.deliver(snapshot(null, 2, [step(1, 0, "message", "ignored")]));
  assert.deepEqual(said(client), ["x"]);
  wire.deliver(snapshot(null, 7, [step(1, 0, "message", "again")], true));
  assert.deepEqual([said(client), view !== "another"], [["again"], true]);
});

test("what is drawn is acknowledged, many batches by one message", async () => {
  const { wire, view } = connected();
  wire.deliver(snapshot(view, 1));
  for (let n = 2; n <= 20; n++) wire.deliver(batch(n));
  const acks = () => wire.sent.filter((message) => message.kind === "ack");
  for (const end = Date.now() + 5000; !acks().length && Date.now() < end; ) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(acks(), [{ kind: "ack", view, n: 20 }]);
});

test("a kernel that takes no message is gone, and what waits for it fails", async () => {
  const { wire, client, view } = connected();
  wire.deliver(snapshot(view, 1));
  const waiting = client.rpc.call("list", {}, 0);
  wire.dead = true;
  await assert.rejects(client.rpc.call("list"), { message: "The kernel is gone." });
  await assert.rejects(waiting, { message: "The kernel is gone." });
  assert.equal(client.state, "gone");
  wire.dead = false;
  client.reconnect();
  wire.deliver(snapshot(view, 5));
  assert.equal(client.state, "live");
});

test("a request has a number, a reply of its own, and an end", async () => {
  const { wire, client, view } = connected();
  const [first, second] = [client.rpc.call<string>("a"), client.rpc.call<string>("b")];
  const reply = { kind: "reply", ok: true, value: "B", error: null } as const;
  wire.deliver({ ...reply, view: "another", id: 2 });
  wire.deliver({ ...reply, view, id: 2 });
  wire.deliver({ ...reply, view, id: 1, ok: false, error: { type: "NotFound", message: "no such file" } });
  assert.equal((await second).value, "B");
  await assert.rejects(first, { type: "NotFound", message: "no such file" });
  await assert.rejects(client.rpc.call("slow", {}, 20), { type: "Timeout" });
  assert.equal(wire.sent.at(-1)?.kind, "cancel");
});

test("steps keep their order however they come", () => {
  const transcript = new Transcript();
  for (const [t, i] of [[2, 1], [1, 0], [2, 0], [1, 1], [3, 0], [2, 1]] as const) {
    transcript.apply({ type: "step", step: step(t, i, "message", `${t}.${i}`) });
  }
  assert.deepEqual(transcript.sections.flatMap((one) => one.steps.map((s) => s.body?.text)), ["1.0", "1.1", "2.0", "2.1", "3.0"]);
});

test("only what changed is a new object", () => {
  const transcript = new Transcript();
  transcript.replace([1, 1, 2, 2], { turns: [turn(1), turn(2)], steps: [step(1, 0), step(2, 0), step(2, 1)] });
  const [one, two] = transcript.sections;
  transcript.apply({ type: "append", turn: 2, index: 1, text: "y", length: 2, at: 0 });
  assert.equal(transcript.sections[0], one);
  assert.notEqual(transcript.sections[1], two);
  assert.equal(transcript.sections[1]?.steps[0], two?.steps[0]);
});

test("a text beyond the limit carries its newest lines until the step is sent whole", () => {
  const transcript = new Transcript();
  transcript.apply({ type: "step", step: step(1, 0, "message", "start") });
  transcript.apply({ type: "append", turn: 1, index: 0, text: "", length: 90, tail: "end", at: 5 });
  assert.deepEqual(transcript.last?.steps[0]?.body, { text: "start", length: 90, tail: "end" });
  transcript.apply({ type: "step", step: step(1, 0, "message", "start") });
  assert.equal(transcript.last?.steps[0]?.body?.tail, undefined);
});

test("the newest steps stay, and those around a view that is scrolled up; the others keep their number", () => {
  const transcript = new Transcript();
  for (let i = 0; i < 7 * 400; i++) transcript.apply({ type: "step", step: step(Math.floor(i / 7) + 1, i % 7) });
  transcript.trim([[10, 0], [12, 0]]);
  assert.deepEqual([transcript.count, transcript.size], [2800, 160 + 63 + 15 + 200]);
  assert.ok(transcript.step([10, 0]) && transcript.step([1, 0]) && transcript.step([400, 6]));
  assert.equal(transcript.step([200, 0]), undefined);
  transcript.trim();
  assert.deepEqual([transcript.count, transcript.size], [2800, WINDOW]);
  transcript.apply({ type: "append", turn: 200, index: 0, text: "y", length: 2, at: 0 });
  assert.equal(transcript.size, WINDOW, "a step that is not held does not grow");
});

test("requested steps do not replace what came meanwhile", () => {
  const transcript = new Transcript();
  transcript.replace([1, 4, 2, 1], { turns: [turn(2)], steps: [step(2, 0)] });
  transcript.apply({ type: "step", step: step(1, 1, "message", "new") });
  transcript.add({ turns: [turn(1)], steps: [step(1, 0), step(1, 1, "message", "old"), step(1, 2)] });
  assert.deepEqual(transcript.section(1)?.steps.map((one) => one.body?.text), ["x", "new", "x"]);
  assert.deepEqual([transcript.count, transcript.size], [5, 4]);
});
