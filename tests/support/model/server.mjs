// A model that does what the prompt says: SCRIPT<<[step, ...]>>END in the user's words, one step after each tool result.
// Plain prompts are looked up by their first words. Speaks Anthropic Messages, OpenAI Responses, Chat Completions and
// Gemini by aimock. Arguments: port, journal, a file of {first words: [step, ...]}, addresses.
import fs from "node:fs";
import { LLMock } from "@copilotkit/aimock";

const [port, journal, prompts, ...hosts] = process.argv.slice(2);
const plain = Object.entries(JSON.parse(fs.readFileSync(prompts, "utf8")));

const textOf = (content) =>
  typeof content === "string" ? content : (content ?? []).map((part) => part.text ?? "").join("");

const say = (name, args) => ({ name, arguments: JSON.stringify(args) });

function write(tools, path, text) {
  const own = ["Write", "write_file"].find((name) => tools.includes(name)); // Claude; Gemini, Qwen
  if (own) return say(own, { file_path: path, content: text });
  if (tools.includes("todowrite")) return say("write", { filePath: path, content: text }); // OpenCode
  if (tools.includes("write")) return say("write", { path, content: text });
  return run(tools, `printf '%s' '${text}' > '${path}'`);
}

function run(tools, command) {
  if (tools.includes("exec_command")) return say("exec_command", { cmd: command });
  if (tools.includes("shell_command")) return say("shell_command", { command });
  const shell = ["Bash", "run_shell_command"].find((name) => tools.includes(name)) ?? "bash"; // Claude; Gemini, Qwen
  return say(shell, { command, description: "as the script says" });
}

function scriptOf(messages) {
  for (let at = messages.length - 1; at >= 0; at--) {
    if (messages[at].role !== "user") continue;
    const text = textOf(messages[at].content);
    for (const [, found] of [...text.matchAll(/SCRIPT<<(.*?)>>END/gs)].reverse()) {
      try {
        return [at, JSON.parse(found)];
      } catch {
        // quoted in the history of earlier turns
      }
    }
    const script = plain.find(([words]) => asks(text, words))?.[1];
    if (script) return [at, script];
  }
  return [-1, []];
}

/** Whether a prompt begins with these words: not a text in the JSON that tells of earlier turns. */
function asks(text, words) {
  return text.split(words).slice(0, -1).some((before) => !before.endsWith('"'));
}

function known(messages) {
  const words = messages.filter((message) => message.role !== "system").map((message) => textOf(message.content));
  return [...new Set([...words.join("\n").matchAll(/TOKEN-[a-z0-9]+/g)].map(([token]) => token))].join(" ") || "nothing";
}

/** What the script says next: a step after each tool result. */
function stepOf(messages) {
  const [at, script] = scriptOf(messages);
  return script[Math.min(messages.slice(at + 1).filter(({ role }) => role === "tool").length, script.length - 1)];
}

async function answer(request) {
  const tools = (request.tools ?? []).map((tool) => tool.function?.name ?? tool.name);
  const messages = request.messages ?? [];
  const told = messages.map((message) => [message.role, textOf(message.content)]);
  fs.appendFileSync(journal, JSON.stringify({ model: request.model, tools, messages: told }) + "\n");
  if (!tools.length) return { content: "A title" };
  const step = stepOf(messages);
  if (!step) return { content: "no script" };
  if (step.sleep) await new Promise((wake) => setTimeout(wake, step.sleep));
  if (step.error) return { error: { message: step.error, type: step.type ?? "api_error", code: step.code }, status: step.status };
  const reply = { content: step.recall ? `I know ${known(messages)}` : (step.text ?? "") };
  if (step.finish) reply.finishReason = step.finish;
  if (step.write) reply.toolCalls = [write(tools, ...step.write)];
  if (step.run) reply.toolCalls = [run(tools, step.run)];
  if (step.call) reply.toolCalls = [say(...step.call)];
  if (!reply.toolCalls && !reply.content) reply.content = "done";
  return reply;
}

const cuts = new Map();

/** Whether an answer breaks off: a step says how many times. */
function isCut({ tools, messages }) {
  const step = tools?.length ? stepOf(messages ?? []) : undefined;
  return step?.cut > (cuts.get(step?.text) ?? 0);
}

function cut(request) {
  const { text } = stepOf(request.messages);
  cuts.set(text, (cuts.get(text) ?? 0) + 1);
  return answer(request);
}

/** Keep the images of all requests: what aimock makes of them has only words. */
function keepImages(request) {
  const chunks = [];
  const { emit } = request;
  request.emit = function (name, ...rest) {
    if (name === "data") chunks.push(rest[0]);
    const found = name === "end" ? Buffer.concat(chunks).toString().matchAll(/(?:"data":"|;base64,)([\w+/=]{99,})/g) : [];
    for (const [, image] of found) fs.appendFileSync(`${journal}.images`, `${image}\n`);
    return emit.call(this, name, ...rest);
  };
}

/** Name the tools of MCP servers as Codex does: in a namespace, which aimock does not know. */
function useNamespaces(request, response) {
  if (!request.url.endsWith("/responses")) return;
  const { write } = response;
  response.write = (chunk, ...rest) =>
    write.call(response, `${chunk}`.replace(/"name":"(mcp__\w+?)__(\w+)"/g, '"namespace":"$1","name":"$2"'), ...rest);
}

const models = [];
let chosen = Number(port);
for (const host of hosts) {
  const model = new LLMock({ port: chosen, host, logLevel: "silent", chunkSize: 12 });
  model.addFixture({ match: { predicate: isCut }, response: cut, truncateAfterChunks: 6, latency: 30 });
  model.addFixture({ match: { predicate: (request) => Array.isArray(request.messages) }, response: answer });
  await model.start();
  model.serverInstance.server.prependListener("request", keepImages);
  model.serverInstance.server.prependListener("request", useNamespaces);
  chosen = Number(new URL(model.url).port);
  models.push(model);
}
console.log(chosen);
process.on("SIGTERM", async () => {
  for (const model of models) await model.stop();
  process.exit(0);
});
