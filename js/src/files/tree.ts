// The tree as rows to draw, with the changes since a person last saw it. Pure.
import type { FileEntry, Listing } from "../lib/protocol.ts";

/** State of harnesses and session-widgets: shown, but never marked as changed. */
const PLUMBING = [".harness", ".session-widgets"];

export type Mark = "new" | "changed";

export interface TreeRow {
  entry: FileEntry;
  level: number;
  open: boolean;
  mark: Mark | undefined;
}

export interface Note {
  level: number;
  path: string;
  words: string;
}

export type Row = TreeRow | Note;

export function isPlumbing(path: string): boolean {
  return PLUMBING.some((name) => path === name || path.startsWith(`${name}/`));
}

export class Tree {
  open = new Set<string>();
  /** Whether the session and its files were deleted. */
  deleted = false;
  /** Whether the listing comes from a sandbox; a bucket has other times. */
  sandboxRunning = true;
  marks = new Map<string, Mark>();
  private listings = new Map<string, Listing>();
  private listedRunning = new Map<string, boolean>();

  /** Apply the newest listings; mark entries that are new or changed since the last ones. */
  update(listings: ReadonlyMap<string, Listing>): void {
    for (const [path, listing] of listings) {
      const before = this.listings.get(path);
      if (before === listing) continue;
      if (before && !before.error) this.compare(before, listing, this.listedRunning.get(path) === this.sandboxRunning);
      this.listings.set(path, listing);
      this.listedRunning.set(path, this.sandboxRunning);
    }
  }

  has(path: string): boolean {
    return this.listings.has(path);
  }

  entry(path: string): FileEntry | undefined {
    const cut = path.lastIndexOf("/");
    return this.listings.get(path.slice(0, Math.max(0, cut)))?.entries.find((entry) => entry.path === path);
  }

  seen(path: string): void {
    this.marks.delete(path);
  }

  /** Whether the workspace is known to contain no files of the user or the agent. */
  get empty(): boolean {
    const listing = this.listings.get("");
    return listing !== undefined && !listing.error && listing.entries.every((entry) => isPlumbing(entry.path));
  }

  rows(): Row[] {
    return this.rowsOf("", 1);
  }

  private rowsOf(path: string, level: number): Row[] {
    if (this.deleted) return [{ level, path, words: "The session was deleted." }];
    const listing = this.listings.get(path);
    if (!listing) return [{ level, path, words: "Loading…" }];
    if (listing.error) return [{ level, path, words: listing.error }];
    const rows: Row[] = [];
    for (const entry of listing.entries) {
      const open = entry.type === "directory" && this.open.has(entry.path);
      rows.push({ entry, level, open, mark: this.markOf(entry) });
      if (open) rows.push(...this.rowsOf(entry.path, level + 1));
    }
    if (listing.more) rows.push({ level, path, words: `${listing.more.toLocaleString("en")} more are not shown` });
    if (!listing.entries.length && path) rows.push({ level, path, words: "Empty" });
    return rows;
  }

  /** A closed folder is marked if a file inside it changed. */
  private markOf(entry: FileEntry): Mark | undefined {
    const own = this.marks.get(entry.path);
    if (own || entry.type !== "directory" || this.open.has(entry.path)) return own;
    const inside = [...this.marks.keys()].some((path) => path.startsWith(`${entry.path}/`));
    return inside ? "changed" : undefined;
  }

  private compare(before: Listing, after: Listing, sameClock: boolean): void {
    const old = new Map(before.entries.map((entry) => [entry.path, entry]));
    for (const entry of after.entries) {
      if (isPlumbing(entry.path)) continue;
      const was = old.get(entry.path);
      if (!was) this.marks.set(entry.path, "new");
      else if (entry.type !== "directory" && ((sameClock && was.modified !== entry.modified) || was.size !== entry.size)) {
        if (this.marks.get(entry.path) !== "new") this.marks.set(entry.path, "changed");
      }
      old.delete(entry.path);
    }
    for (const path of old.keys()) this.marks.delete(path);
  }
}
