// The messages between a widget and its page: the same as src/session_widgets/widgets/_protocol.py and _views.py.
// Times are milliseconds since 1970 UTC, sizes are bytes, lengths are characters.

export const MAX_CHUNK = 4 * 1024 * 1024;

/** The start of a text and its whole length. */
export interface Text {
  text: string;
  length: number;
  /** The newest characters, while the text grows and only its start is sent. */
  tail?: string;
}

export type Block =
  | { type: "text"; body: Text }
  | { type: "diff"; path: string; old: Text | null; new: Text }
  | { type: "image"; mime: string; size: number }
  | { type: "note"; label: string };

export interface Option {
  id: string;
  name: string;
  kind: string;
}

export interface Permission {
  request: string;
  options: Option[];
  outcome: "selected" | "cancelled" | null;
  option: string | null;
  by: string | null;
  reason: string | null;
}

export interface Tool {
  title: string;
  kind: string;
  /** The shell command, if the call has one. */
  command: Text | null;
  /** The agent's input without the command and the diff. */
  input: Text | null;
  /** The files of the call, one a line. */
  locations: Text | null;
  blocks: Block[];
  permission: Permission | null;
  /** Milliseconds with an open permission request; the rest of `ended - started` is run time. */
  waited: number;
  failure: "rejected" | "error" | "interrupted" | null;
  exit_code: number | null;
}

export interface Entry {
  content: string;
  status: string;
  priority: string;
}

export interface Field {
  name: string;
  title: string;
  description: string;
  kind: "text" | "number" | "integer" | "boolean" | "choice" | "choices";
  required: boolean;
  /** Its value is never stored. */
  secret: boolean;
  default: unknown;
  choices: { value: string; label: string }[];
  least: number | null;
  most: number | null;
}

/** A question of the agent: a form, or an address to open. */
export interface Question {
  request: string;
  fields: Field[];
  url: string | null;
  /** null while it is open. */
  action: "accept" | "decline" | "cancel" | "refused" | null;
  values: { name: string; value: string }[];
  by: string | null;
  reason: string | null;
}

export interface Step {
  turn: number;
  index: number;
  kind: "user" | "message" | "thought" | "tool_call" | "plan" | "question" | "compaction" | "subagent" | "notice" | "error";
  status: string;
  started: number;
  ended: number;
  /** A subagent did it. */
  nested: boolean;
  /** The line that stands for a compaction or a subagent. */
  headline?: string;
  /** Of a notice of the agent. */
  severity?: "warning" | "error";
  body?: Text;
  tool?: Tool;
  entries?: Entry[];
  question?: Question;
}

export interface Usage {
  input: number | null;
  output: number | null;
  total: number | null;
  context_used: number | null;
  context_size: number | null;
  cost: number | null;
  currency: string | null;
  /** The scope of the tokens. */
  scope: "call" | "turn" | "session" | null;
  /** The reason for a missing figure. */
  remark: string | null;
}

export interface FileChange {
  path: string;
  change: "created" | "modified" | "deleted";
  size: number | null;
}

export interface Turn {
  turn: number;
  status: "running" | "completed" | "cancelled" | "failed";
  started: number;
  ended: number | null;
  /** Milliseconds with an open permission request. */
  waited: number;
  stop_reason: string | null;
  /** `Turn.outcome`: the status, or a more specific value. */
  outcome: string;
  /** The model that the agent reported. */
  model: string | null;
  usage: Usage;
  files: FileChange[];
  tier: string | null;
  /** Whether the prompt carried a history. */
  handed_over: boolean;
  error: string | null;
  saving: boolean;
  durable_at: number | null;
  durability_error: string | null;
  /** The location of its files. */
  workspace: string;
  attachment: string;
}

export interface Missing {
  install: boolean;
  /** Names of variables, one of which must contain a key. */
  keys: string[];
}

export type SettingName = "mode" | "model" | "effort";

export interface Choice {
  id: string;
  name: string;
  description: string;
}

/** The agent's options and its current settings. */
export interface Setting {
  name: SettingName;
  current: string | null;
  choices: Choice[];
}

/** A command of the agent, without its "/"; `hint` describes its input. */
export interface Command {
  name: string;
  description: string;
  hint: string | null;
}

export interface Session {
  id: string;
  title: string | null;
  harness: string;
  sandbox: string;
  workspace: string;
  attachment: string;
  mount_report: string;
  /** Where the agent sees the workspace. */
  root: string;
  /** The user's choice; null leaves the agent's default. */
  model: string | null;
  mode: string | null;
  effort: string | null;
  /** `suggestions` are first prompts. */
  agent: { title: string; version: string; suggestions: string[] };
  /** Missing requirements of the harness; null if it can start. */
  missing: Missing | null;
  /** The policy: its name, or "function" and the function's name. */
  permissions: string;
  status: string;
  sandbox_running: boolean;
  /** When the sandbox in use parks or ends in any case; null if it does not. */
  deadline: number | null;
  /** Whether a local sandbox sees nothing of the machine but the workspace and programs. */
  confined: boolean;
  turns: number;
}

export interface ToldTool {
  title: string;
  status: string;
  /** Its start; empty without one. */
  result: string;
}

/** An earlier turn in a history. */
export interface ToldTurn {
  prompt: string;
  answer: string;
  /** How it ended, unless it completed. */
  ended: string | null;
  tools: ToldTool[];
  earlier_tools: number;
  files: FileChange[];
}

/** The history that a prompt carried, oldest turn first; `earlier` turns were omitted. Fetched by `handover`. */
export interface Handover {
  turns: ToldTurn[];
  earlier: number;
}

export interface FileEntry {
  path: string;
  name: string;
  type: "file" | "directory" | "symlink" | "other";
  size: number;
  modified: number | null;
}

export interface Listing {
  type: "listing";
  path: string;
  entries: FileEntry[];
  more: number;
  error: string | null;
}

/** The permission request that a cell asks about: the text beside its field, and the input for each option. */
export interface CellQuestion {
  request: string;
  prompt: string;
  answers: Record<string, string>;
}

export type Item =
  | { type: "step"; step: Step }
  | { type: "append"; turn: number; index: number; text: string; length: number; tail?: string; at: number }
  | { type: "turn"; turn: Turn }
  | { type: "session"; session: Session }
  | { type: "settings"; settings: Setting[] | null; commands: Command[] }
  | { type: "activity"; text: string | null }
  | { type: "cell_question"; question: CellQuestion | null }
  | Listing;

export interface Page {
  turns: Turn[];
  steps: Step[];
}

export interface Batch {
  kind: "batch";
  n: number;
  now: number;
  items: Item[];
}

export interface Snapshot {
  kind: "snapshot";
  view: string | null;
  reset: boolean;
  n: number;
  now: number;
  session: Session;
  settings: Setting[] | null;
  commands: Command[];
  activity: string | null;
  cell_question: CellQuestion | null;
  /** For each turn in order: its index, and its number of steps. */
  counts: number[];
  page: Page;
  listings: Listing[];
}

export interface Reply {
  kind: "reply";
  view: string;
  id: number;
  ok: boolean;
  value: unknown;
  error: { type: string; message: string } | null;
}

export type ToKernel =
  | { kind: "hello"; view: string }
  | { kind: "ack"; view: string; n: number }
  | { kind: "ping"; view: string }
  | { kind: "rpc"; view: string; id: number; op: string; args: Record<string, unknown> }
  | { kind: "cancel"; view: string; id: number };

/** The part of an anywidget model that we use; a test or an exported page provides its own. */
export interface Model {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  on(event: string, callback: (...args: never[]) => void): void;
  off(event: string, callback?: (...args: never[]) => void): void;
  send(content: unknown, callbacks?: unknown, buffers?: (ArrayBuffer | ArrayBufferView)[]): void;
}
