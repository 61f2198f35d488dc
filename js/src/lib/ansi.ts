// Terminal output as runs of styled text: colours are kept, all other escape sequences are dropped.

export interface Run {
  text: string;
  /** Class names for the sixteen named colours and the styles. */
  classes: string;
  /** A colour outside the sixteen, as three numbers. */
  rgb: string | undefined;
}

interface Style {
  fg: number | undefined;
  rgb: string | undefined;
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
}

const PLAIN: Style = { fg: undefined, rgb: undefined, bold: false, dim: false, italic: false, underline: false };
// CSI sequences, OSC strings (links, titles), other escapes, and a sequence that the text cuts off
const ESCAPES = /\x1b\[([0-?]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\|$)|\x1b[PX^_][^\x1b]*(?:\x1b\\|$)|\x1b\[?[0-?]*[ -/]*$|\x1b./gs;

export function ansiRuns(text: string): Run[] {
  const runs: Run[] = [];
  let style = PLAIN;
  let from = 0;
  const source = overwritten(text);
  const add = (part: string) => {
    if (part) runs.push({ text: part, classes: classesOf(style), rgb: style.rgb });
  };
  for (const match of source.matchAll(ESCAPES)) {
    add(source.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[2] === "m") style = styled(style, match[1] ?? "");
  }
  add(source.slice(from));
  return runs;
}

export function stripAnsi(text: string): string {
  return overwritten(text).replace(ESCAPES, "");
}

/** A carriage return overwrites its line, so progress bars show their last state. */
function overwritten(text: string): string {
  if (!text.includes("\r")) return text;
  return text.split("\n").map(lastState).join("\n");
}

function lastState(line: string): string {
  let end = line.length;
  while (line[end - 1] === "\r") end -= 1;
  return line.slice(line.lastIndexOf("\r", end - 1) + 1, end);
}

function classesOf(style: Style): string {
  const names = [];
  if (style.fg !== undefined) names.push(`sw-ansi-${style.fg}`);
  for (const name of ["bold", "dim", "italic", "underline"] as const) if (style[name]) names.push(`sw-ansi-${name}`);
  return names.join(" ");
}

function styled(style: Style, parameters: string): Style {
  const codes = parameters.split(/[;:]/).map(Number);
  let next = { ...style };
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i] ?? 0;
    if (code === 0) next = { ...PLAIN };
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 3) next.italic = true;
    else if (code === 4) next.underline = true;
    else if (code === 22) next.bold = next.dim = false;
    else if (code === 23) next.italic = false;
    else if (code === 24) next.underline = false;
    else if (code >= 30 && code <= 37) next = { ...next, fg: code - 30, rgb: undefined };
    else if (code >= 90 && code <= 97) next = { ...next, fg: code - 82, rgb: undefined };
    else if (code === 39) next = { ...next, fg: undefined, rgb: undefined };
    else if (code === 38 || code === 48) {
      const [colour, used] = extended(codes.slice(i + 1));
      if (code === 38) next = { ...next, fg: undefined, rgb: undefined, ...colour };
      i += used;
    }
  }
  return next;
}

function extended(codes: number[]): [Partial<Style>, number] {
  const byte = (value: number | undefined) => Math.min(255, Math.max(0, Math.trunc(value ?? 0) || 0));
  if (codes[0] === 2) return [{ rgb: `${byte(codes[1])} ${byte(codes[2])} ${byte(codes[3])}` }, 4];
  if (codes[0] !== 5) return [{}, 1];
  const n = byte(codes[1]);
  if (n < 16) return [{ fg: n }, 2];
  if (n >= 232) return [{ rgb: Array(3).fill(8 + (n - 232) * 10).join(" ") }, 2];
  const level = (value: number) => (value ? 55 + value * 40 : 0);
  const cube = n - 16;
  return [{ rgb: [Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6].map(level).join(" ") }, 2];
}
