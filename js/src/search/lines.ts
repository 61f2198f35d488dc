// The hits as lines to draw: a session, and below it its hits. Pure: no DOM, no clock.
import type { Hit } from "./protocol.ts";

export type Line =
  | { kind: "session"; key: string; session: string; hits: number; first: number; open: boolean }
  | { kind: "hit"; key: string; hit: number };

/** Sessions in the order of their newest hit; `hit` and `first` are places in `hits`. */
export function linesOf(hits: readonly Hit[], folded: ReadonlySet<string>): Line[] {
  const groups = new Map<string, number[]>();
  hits.forEach(({ session }, place) => {
    const group = groups.get(session);
    if (group) group.push(place);
    else groups.set(session, [place]);
  });
  return [...groups].flatMap(([session, places]): Line[] => {
    const open = !folded.has(session);
    const head: Line = { kind: "session", key: `s ${session}`, session, hits: places.length, first: places[0] ?? 0, open };
    return [head, ...(open ? places.map((hit): Line => ({ kind: "hit", key: `h ${hit}`, hit })) : [])];
  });
}

const BEFORE = 48;
/** Characters after a match that the kernel sends. */
const AFTER = 80;

/** The text around a match on one line, cut before it so that the match is in view. */
export function contextOf({ before, match, after }: Hit): [string, string, string] {
  const flat = (text: string) => text.replace(/\s+/g, " ");
  const left = flat(before).trimStart();
  const cut = left.length > BEFORE ? `…${left.slice(left.length - BEFORE)}` : left;
  return [cut, flat(match), `${flat(after).trimEnd()}${after.length >= AFTER ? "…" : ""}`];
}
