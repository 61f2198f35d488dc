// The time line as a picture: steps as bars, marks as coloured ticks, pauses as gaps, and the playhead.
import type { Player } from "./player.ts";
import type { Timeline } from "./timeline.ts";

const LANE = 15;
const LONG_PAUSE = 30;
/** Pixels for a prompt or a pause; where there is less, none of them are drawn. */
const ROOM = 8;
/** Kinds of marks that are drawn over others where there is no room for all. */
const LATER = ["test", "permission", "compaction", "error"];

/** What does not change while it plays: the picture before the playhead, and the one behind it. */
interface Layers {
  key: string;
  played: HTMLCanvasElement;
  ahead: HTMLCanvasElement;
}

const known = new WeakMap<HTMLCanvasElement, Layers>();

/** Draw the time line; `colour` gives the colour of a mark's kind, or of "bar", "line", "head". */
export function drawAxis(canvas: HTMLCanvasElement, player: Player, colour: (name: string) => string): void {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return;
  const scale = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
  if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  if (!pen) return;
  const { timeline } = player;
  const head = timeline.span ? 1 + (player.head / timeline.span) * (width - 3) : placeOf(timeline, player.seq, width);
  const { played, ahead } = layersOf(canvas, timeline, width, height, scale, colour);
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  const cut = Math.min(canvas.width, Math.max(0, Math.round(head * scale)));
  if (cut > 0) pen.drawImage(played, 0, 0, cut, canvas.height, 0, 0, cut, canvas.height);
  if (cut < canvas.width) pen.drawImage(ahead, cut, 0, canvas.width - cut, canvas.height, cut, 0, canvas.width - cut, canvas.height);
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.fillStyle = colour("head");
  pen.fillRect(Math.round(head) - 1, 0, 2, height);
  pen.beginPath();
  pen.arc(Math.round(head), height - 4.5, 4.5, 0, 2 * Math.PI);
  pen.fill();
}

function layersOf(canvas: HTMLCanvasElement, timeline: Timeline, width: number, height: number, scale: number, colour: (name: string) => string): Layers {
  const colours = ["bar", "line", "head", ...timeline.kinds].map(colour);
  const key = [width, height, scale, timeline.version, timeline.last, timeline.events, ...colours].join(" ");
  let found = known.get(canvas);
  if (found?.key !== key) {
    const layer = (bars: string, strength: number) => {
      const made = document.createElement("canvas");
      [made.width, made.height] = [canvas.width, canvas.height];
      const pen = made.getContext("2d");
      pen?.setTransform(scale, 0, 0, scale, 0, 0);
      if (pen) drawLayer(pen, timeline, width, height, colour, bars, strength);
      return made;
    };
    known.set(canvas, (found = { key, played: layer("head", 0.85), ahead: layer("bar", 0.4) }));
  }
  return found;
}

function placeOf(timeline: Timeline, seq: number, width: number): number {
  return 1 + timeline.fraction(seq) * (width - 3);
}

function drawLayer(pen: CanvasRenderingContext2D, timeline: Timeline, width: number, height: number, colour: (name: string) => string, bar: string, strength: number): void {
  const place = (seq: number) => placeOf(timeline, seq, width);
  const bars = new Map<number, number>();
  for (const seq of timeline.begins()) {
    const column = Math.round(place(seq) / 3) * 3;
    bars.set(column, (bars.get(column) ?? 0) + 1);
  }
  const most = Math.log1p(Math.max(1, ...bars.values()));
  const floor = height - 5;
  pen.fillStyle = colour("line");
  pen.fillRect(0, floor, width, 1);
  for (const [column, count] of bars) {
    const tall = 3 + (Math.log1p(count) / most) * (floor - LANE - 5);
    pen.globalAlpha = strength;
    pen.fillStyle = colour(bar);
    pen.fillRect(column, floor - tall, 2, tall);
  }
  pen.globalAlpha = 1;

  pen.strokeStyle = colour("bar");
  pen.setLineDash([2, 2]);
  const pauses = timeline.pauses.filter(({ seconds }) => seconds >= LONG_PAUSE);
  for (const { seq } of pauses.length > width / ROOM ? [] : pauses) {
    const x = Math.round(place(seq)) - 0.5;
    pen.beginPath();
    pen.moveTo(x, LANE + 2);
    pen.lineTo(x, floor);
    pen.stroke();
  }
  pen.setLineDash([]);

  const drawn = new Set<string>();
  const prompts = timeline.count("prompt");
  const lanes = timeline.kinds.filter((kind) => kind !== "prompt" && timeline.count(kind));
  const crowded = timeline.marks.length - prompts > width / 4;
  for (const kind of [...timeline.kinds].sort((a, b) => LATER.indexOf(a) - LATER.indexOf(b))) {
    if (kind === "prompt" && prompts > width / ROOM) continue;
    pen.fillStyle = colour(kind);
    for (const mark of timeline.marks) {
      if (mark.kind !== kind) continue;
      const x = Math.round(place(mark.seq));
      if (drawn.has(`${kind} ${x}`)) continue;
      drawn.add(`${kind} ${x}`);
      if (kind === "prompt") {
        pen.globalAlpha = 0.55;
        pen.fillRect(x, 0, 1, floor);
        pen.globalAlpha = 1;
        pen.beginPath();
        pen.moveTo(x, 0);
        pen.lineTo(x + 6, 3.5);
        pen.lineTo(x, 7);
        pen.fill();
      } else if (crowded) {
        pen.fillRect(x, 1 + (lanes.indexOf(kind) * LANE) / lanes.length, 1.5, LANE / lanes.length - 0.8); // a lane for each kind
      } else {
        pen.fillRect(x - 1, 5, 3, LANE - 6);
      }
    }
  }
}
