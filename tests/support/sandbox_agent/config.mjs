// The SDK of sandbox-agent 0.4.2 keeps MCP servers and skills in a directory, meets an agent that crashes, and goes on.
// Arguments: URL, token, workspace, name of the agent. Prints one JSON object of what was seen.
import { AcpRpcError, SandboxAgent, SandboxAgentError } from "sandbox-agent";

const [baseUrl, token, workspace, agent] = process.argv.slice(2);
const seen = { unhandled: [] };
process.on("unhandledRejection", (error) => seen.unhandled.push(String(error)));

const client = await SandboxAgent.connect({ baseUrl, token });
const absent = (promise) =>
  promise.then(
    () => "there",
    (error) => [error instanceof SandboxAgentError, error.status],
  );

const server = { directory: workspace, mcpName: "github" };
await client.setMcpConfig(server, { type: "remote", url: "https://example.com/mcp" });
seen.mcp = await client.getMcpConfig(server);
await client.deleteMcpConfig(server);
seen.mcpGone = await absent(client.getMcpConfig(server));

const skills = { directory: workspace, skillName: "default" };
await client.setSkillsConfig(skills, { sources: [{ type: "local", source: "/skills" }] });
seen.skills = await client.getSkillsConfig(skills);
await client.deleteSkillsConfig(skills);
seen.skillsGone = await absent(client.getSkillsConfig(skills));

const about = (await client.listAgents({ config: true })).agents.find(({ id }) => id === agent);
seen.options = about.configOptions.map(({ category }) => category);

const session = await client.createSession({ agent, cwd: workspace });
const say = (text) =>
  within(
    10_000,
    session.prompt([{ type: "text", text }]).then(
      ({ stopReason }) => stopReason,
      (error) => [error instanceof AcpRpcError, error.code, error.message],
    ),
  );
seen.crash = await say("crash 3");
seen.next = await say("say hello");
seen.third = await say("say hello again");
await within(5_000, client.destroySession(session.id));
const fresh = await fetch(`${baseUrl}/v1/acp`, { headers: { authorization: `Bearer ${token}` } });
seen.left = (await fresh.json()).servers.length;
await client.dispose();
console.log(JSON.stringify(seen));
process.exit(0);

function within(milliseconds, promise) {
  return Promise.race([promise, new Promise((resolve) => setTimeout(resolve, milliseconds, "hangs"))]);
}
