// The SDK of sandbox-agent 0.4.2 drives a session-widgets runner: arguments are its URL, its token and its workspace.
// Prints one JSON object of what was seen.
import { SandboxAgent, SandboxAgentError } from "sandbox-agent";

const [baseUrl, token, workspace] = process.argv.slice(2);
const seen = {};

seen.stranger = await SandboxAgent.connect({ baseUrl, token: "wrong", waitForHealth: { timeoutMs: 1000 } })
  .then((client) => client.listAgents().finally(() => client.dispose()))
  .then(() => "let in", (error) => error.status ?? error.message);

const client = await SandboxAgent.connect({ baseUrl, token });
seen.agents = (await client.listAgents({ config: true })).agents.map(({ id, installed }) => [id, installed]);
seen.installed = (await client.installAgent("demo")).already_installed;

// A session
const session = await client.createSession({ agent: "demo", cwd: workspace });
const text = [];
const tools = [];
session.onEvent(({ payload, sender }) => {
  const update = payload.params?.update;
  if (sender !== "agent" || !update) return;
  if (update.sessionUpdate === "agent_message_chunk") text.push(update.content.text);
  if (update.sessionUpdate === "tool_call") tools.push(update.kind);
});
const replies = ["once", "reject"];
seen.offered = [];
session.onPermissionRequest(async (request) => {
  seen.offered.push(request.availableReplies);
  await session.respondPermission(request.id, replies.shift());
});
const say = (words) => session.prompt([{ type: "text", text: words }]);
seen.stop = (await say("say hello\nwrite allowed.txt <<EOT\nyes\nEOT")).stopReason;
seen.text = text.splice(0).join("");
await say("write refused.txt <<EOT\nno\nEOT");
seen.tools = tools;
seen.modes = (await session.getModes())?.availableModes?.map(({ id }) => id) ?? null;
seen.options = (await session.getConfigOptions()).map(({ id, category }) => [id, category]);
seen.servers = (await client.listAcpServers()).servers.map(({ agent }) => agent);

// Files
await client.mkdirFs({ path: `${workspace}/folder` });
const large = new Uint8Array(3_000_000).map((_, at) => at % 251);
seen.written = (await client.writeFsFile({ path: "folder/large.bin" }, large)).bytesWritten;
const read = await client.readFsFile({ path: "folder/large.bin" });
seen.same = Buffer.compare(Buffer.from(read), Buffer.from(large)) === 0;
await client.moveFs({ from: "folder/large.bin", to: "folder/moved.bin" });
seen.entries = (await client.listFsEntries({ path: "folder" })).map(({ name, entryType, size }) => [name, entryType, size]);
seen.stat = (await client.statFs({ path: "allowed.txt" })).entryType;
await client.deleteFsEntry({ path: "folder", recursive: true });
seen.missing = await client.readFsFile({ path: "folder/moved.bin" }).then(
  () => "there",
  (error) => [error instanceof SandboxAgentError, error.status, error.problem.type],
);

// Processes
const run = await client.runProcess({ command: "sh", args: ["-c", "echo out; echo err >&2; exit 3"] });
seen.run = [run.exitCode, run.stdout, run.stderr, run.timedOut];
const cat = await client.createProcess({ command: "cat", interactive: true });
const logged = [];
const following = await client.followProcessLogs(cat.id, (entry) => logged.push(Buffer.from(entry.data, "base64").toString()));
await client.sendProcessInput(cat.id, { data: "typed\n", encoding: "utf8" });
await until(() => logged.join("") === "typed\n");
seen.stopped = (await client.killProcess(cat.id, { waitMs: 2000 })).status;
following.close();
seen.logs = (await client.getProcessLogs(cat.id)).entries.length > 0;
await client.deleteProcess(cat.id);
seen.processes = (await client.listProcesses()).processes.length;
const config = await client.getProcessConfig();
seen.config = (await client.setProcessConfig(config)).maxConcurrentProcesses === config.maxConcurrentProcesses;

// A terminal
const shell = await client.createProcess({ command: "sh", tty: true, interactive: true });
const terminal = client.connectProcessTerminal(shell.id);
const screen = [];
const exited = new Promise((resolve) => terminal.onExit(resolve));
const ready = new Promise((resolve, reject) => (terminal.onReady(resolve), terminal.onError(reject)));
terminal.onData((data) => screen.push(Buffer.from(data).toString()));
await ready;
terminal.resize({ cols: 91, rows: 21 });
terminal.sendInput("stty size; echo $((6*7))\r");
await until(() => screen.join("").includes("21 91") && screen.join("").includes("42"));
terminal.sendInput("exit 5\r");
seen.exit = (await exited).exitCode;
await terminal.closed;
await client.deleteProcess(shell.id);

seen.events = (await client.getEvents({ sessionId: session.id, limit: 500 })).items.length > 0;
await client.destroySession(session.id);
await client.dispose();
const left = await fetch(`${baseUrl}/v1/acp`, { headers: { authorization: `Bearer ${token}` } });
seen.left = (await left.json()).servers.length;
console.log(JSON.stringify(seen));

async function until(probe) {
  const deadline = Date.now() + 10_000;
  while (!probe()) {
    if (Date.now() > deadline) throw new Error(`not within 10 s: ${probe}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
