// The header: harness, sandbox, workspace and status.
import { html, nothing, type TemplateResult } from "lit-html";
import type { Client } from "../lib/client.ts";
import { homeWords, isFolder, sandboxWords, timeLeft } from "../lib/home.ts";
import { icon } from "../lib/icons.ts";
import type { Session } from "../lib/protocol.ts";
import { type Status, statusOf } from "../lib/status.ts";
import { clock, count, line, moment } from "../lib/text.ts";

export function header(client: Client): TemplateResult {
  const session = client.session;
  return html`<div class="sw-head">
    <div class="sw-who">
      <span class="sw-title" title=${session ? `Session ${session.id}` : ""}><bdi>${session ? line(session.title ?? session.id, 120) : "Session"}</bdi></span>
      ${session ? where(client, session) : nothing}
    </div>
    ${state(client, linkStatus(client) ?? statusOf(client.transcript, client.session, client.activity))}
    ${context(client)}
  </div>`;
}

function where(client: Client, session: Session): TemplateResult {
  const sandbox = sandboxWords(session);
  return html`<span class="sw-badges">
    ${agent(session)}
    <span class="sw-badge sw-sandbox" role="img" title=${sandbox.title} aria-label=${sandbox.title}>
      ${icon(session.sandbox === "local" ? "laptop" : "box")}<span>${sandbox.words}<span class="sw-extra">${sandbox.extra}</span></span>
    </span>
    ${session.deadline ? deadline(session.deadline, client.now()) : nothing}
    ${session.workspace ? home(session) : nothing}
  </span>`;
}

/** The title says the moment, which stays; the words count down. */
function deadline(at: number, now: number): TemplateResult {
  const { words, near } = timeLeft(at, now);
  const title = `This sandbox parks or ends at ${moment(at)} at the latest. Until then it stays while this session is open`;
  return html`<span class="sw-badge sw-deadline" role="img" title=${title} aria-label=${title} data-near=${near}>
    ${icon("clock")}<span>${words}</span>
  </span>`;
}

/** A sandbox that is about to end: said once, as it does not count. */
export function ending(client: Client): TemplateResult | typeof nothing {
  const at = client.session?.deadline;
  if (!at || client.session?.status === "deleted") return nothing;
  const left = at - client.now();
  if (left <= 0) return html`<div class="sw-banner" role="status">${icon("clock")}The time of this sandbox is over. The next prompt starts one again.</div>`;
  if (!timeLeft(at, client.now()).near) return nothing;
  return html`<div class="sw-banner" role="status">${icon("clock")}This sandbox parks or ends at ${moment(at)}. A turn that still runs then fails; the next prompt starts a sandbox again.</div>`;
}

function agent({ agent: { title, version }, harness }: Session): TemplateResult {
  const words = `Harness: ${line(title, 100)}${version ? ` ${line(version, 60)}` : ""}`;
  const more = line(harness, 100) === line(title, 100) ? "" : ` (${line(harness, 100)})`;
  return html`<span class="sw-badge sw-agent" role="img" title="${words}${more}" aria-label=${words}>
    ${icon("agent")}<span>${line(title, 40)}${version ? html`<span class="sw-extra sw-version"> ${line(version, 20)}</span>` : nothing}</span>
  </span>`;
}

function home(session: Session): TemplateResult {
  const report = session.mount_report ? `\nMounted: ${line(session.mount_report, 1000)}` : "";
  const title = `Workspace: ${line(session.workspace, 1000)}${report}`;
  return html`<span class="sw-badge sw-home" role="img" title=${title} aria-label=${title}>
    ${icon(isFolder(session) ? "folder" : "cloud")}<span>${homeWords(session)}</span>
  </span>`;
}

/** How full the agent's context is, if the agent reports it. */
function context(client: Client): TemplateResult | typeof nothing {
  const usage = client.transcript.sections.findLast((section) => section.turn?.usage.context_size)?.turn?.usage;
  if (!usage?.context_size || usage.context_used === null) return nothing;
  const share = Math.min(1, usage.context_used / usage.context_size);
  const title = `Context: ${count(usage.context_used)} of ${count(usage.context_size)} tokens`;
  return html`<span class="sw-context" role="img" title=${title} aria-label=${title} data-full=${share > 0.85}>
    <svg viewBox="0 0 16 16" aria-hidden="true"><circle cx="8" cy="8" r="5.5" /><circle cx="8" cy="8" r="5.5" pathLength="100" stroke-dasharray="${Math.max(2, share * 100)} 100" /></svg>
  </span>`;
}

function linkStatus(client: Client): Status | undefined {
  if (client.state === "gone") return { tone: "failed", words: "Kernel gone" };
  if (client.state === "connecting") return { tone: "active", words: client.busy ? "Kernel is busy" : "Connecting" };
  if (client.state === "gap") return { tone: "waiting", words: "Catching up" };
  return undefined;
}

function state(client: Client, status: Status): TemplateResult {
  return html`<span class="sw-status" data-tone=${status.tone}>
    <span class="sw-dot" aria-hidden="true"></span>
    <span class="sw-status-words" role="status" aria-live="polite" title=${status.words}>${status.words}</span>
    ${status.since === undefined ? nothing : html`<span class="sw-clock" aria-hidden="true">${clock(client.now() - status.since)}</span>`}
  </span>`;
}
