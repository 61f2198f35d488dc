// Text and numbers for people, with hostile characters made visible.

const HIDDEN = /[\u202A-\u202E\u2066-\u2069\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F]/g;

/** Accents on one letter, and joiners: a browser draws them in quadratic time. */
const PILE = /([\p{M}\p{Cf}]{32})([\p{M}\p{Cf}]+)/gu;

/** Make characters visible that reorder or hide text, so that a name cannot imitate another. */
export function visible(text: string): string {
  return text
    .replace(HIDDEN, (char) => `⟨U+${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`)
    .replace(PILE, (_, kept: string, left: string) => `${kept}⟨${[...left].length} more accents⟩`);
}

/** As `visible`, on one line. */
export function line(text: string, limit = 400): string {
  const flat = visible(text.slice(0, limit).replace(/\s+/g, " "));
  return text.length > limit ? `${flat}…` : flat;
}

export function bytes(size: number): string {
  if (size < 1000) return `${size} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let unit = -1;
  do {
    size /= 1000;
    unit += 1;
  } while (size >= 999.5 && unit < units.length - 1);
  return `${size < 9.95 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

export function duration(millis: number): string {
  const seconds = Math.max(0, millis) / 1000;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A running clock: 0:07, 12:34, 1:02:03. */
export function clock(millis: number): string {
  const seconds = Math.max(0, Math.floor(millis / 1000));
  const parts = [Math.floor(seconds / 60) % 60, seconds % 60].map((part) => String(part).padStart(2, "0"));
  const hours = Math.floor(seconds / 3600);
  return hours ? `${hours}:${parts.join(":")}` : parts.join(":").replace(/^0/, "");
}

/** A time of day, with the date if it is not today. */
export function moment(millis: number): string {
  const date = new Date(millis);
  const today = date.toDateString() === new Date().toDateString();
  return today ? date.toLocaleTimeString() : date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

export function count(value: number): string {
  if (value < 1000) return String(value);
  if (value < 999_500) return `${(value / 1000).toFixed(value < 9950 ? 1 : 0)}k`;
  return `${(value / 1e6).toFixed(1)}M`;
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${value.toLocaleString("en")} ${value === 1 ? one : many}`;
}

export function basename(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
