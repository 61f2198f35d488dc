// Line icons on a 16 px grid, drawn for this package. Screen readers skip them and read the text beside them.
import { html, svg, type TemplateResult } from "lit-html";

const SHAPES = {
  read: svg`<path d="M2 3.5c2.2-.7 4.3-.4 6 .8 1.7-1.2 3.8-1.5 6-.8v9c-2.2-.7-4.3-.4-6 .8-1.7-1.2-3.8-1.5-6-.8zM8 4.3v9"/>`,
  edit: svg`<path d="M10.7 2.7l2.6 2.6L6 12.6l-3.3.7.7-3.3zM9 4.4L11.6 7"/>`,
  delete: svg`<path d="M2.5 4.5h11M6 4.5V3h4v1.5M4 4.5l.6 8.5h6.8l.6-8.5M6.7 7v3.7M9.3 7v3.7"/>`,
  move: svg`<path d="M2.5 8h10M9 4.5L12.5 8 9 11.5"/>`,
  filter: svg`<path d="M2.5 4h11M4.5 8h7M6.5 12h3"/>`,
  search: svg`<circle cx="7" cy="7" r="4.2"/><path d="M10.2 10.2l3.3 3.3"/>`,
  execute: svg`<rect x="1.8" y="2.8" width="12.4" height="10.4" rx="1.8"/><path d="M4.5 6l2.2 2-2.2 2M8.5 10.2h3"/>`,
  think: svg`<path d="M8 1.8a4.3 4.3 0 0 0-2.5 7.8c.5.4.8.9.8 1.6h3.4c0-.7.3-1.2.8-1.6A4.3 4.3 0 0 0 8 1.8zM6.5 13.5h3"/>`,
  fetch: svg`<circle cx="8" cy="8" r="6"/><path d="M2 8h12M8 2c2 1.8 2.8 3.8 2.8 6S10 12.2 8 14c-2-1.8-2.8-3.8-2.8-6S6 3.8 8 2z"/>`,
  switch_mode: svg`<path d="M3 5.5h8.5M9 3l2.5 2.5L9 8M13 10.5H4.5M7 8l-2.5 2.5L7 13"/>`,
  other: svg`<path d="M9.8 3.2a3.3 3.3 0 0 0-4 4.2L2.5 10.7l2.8 2.8 3.3-3.3a3.3 3.3 0 0 0 4.2-4L10.6 8.3 8.3 7.7 7.7 5.4z"/>`,
  question: svg`<circle cx="8" cy="8" r="6"/><path d="M6.2 6.4a1.8 1.8 0 1 1 2.6 1.7c-.5.3-.8.6-.8 1.2M8 11.3v.1"/>`,
  check: svg`<path d="M3 8.5l3.3 3.2L13 4.8"/>`,
  cross: svg`<path d="M4 4l8 8M12 4l-8 8"/>`,
  alert: svg`<path d="M8 2.3l6.2 11H1.8zM8 6.5v3.2M8 11.6v.1"/>`,
  chevron: svg`<path d="M6 3.5L10.5 8 6 12.5"/>`,
  down: svg`<path d="M8 3v9.5M4 8.7l4 3.8 4-3.8"/>`,
  send: svg`<path d="M8 13V3.5M4 7.3l4-3.8 4 3.8"/>`,
  stop: svg`<rect x="4" y="4" width="8" height="8" rx="1.3" fill="currentColor" stroke="none"/>`,
  copy: svg`<rect x="5.5" y="5.5" width="8" height="8" rx="1.5"/><path d="M3.7 10.5H3A1.2 1.2 0 0 1 2 9.3V3.2C2 2.5 2.5 2 3.2 2h6.1c.7 0 1.2.5 1.2 1.2v.5"/>`,
  clock: svg`<circle cx="8" cy="8" r="6"/><path d="M8 4.7V8l2.3 1.6"/>`,
  shield: svg`<path d="M8 1.8l5 1.8v4c0 3.2-2 5.5-5 6.6-3-1.1-5-3.4-5-6.6v-4zM8 5.5v3M8 10.6v.1"/>`,
  file: svg`<path d="M9 1.8H4.3A1.3 1.3 0 0 0 3 3.1v9.8a1.3 1.3 0 0 0 1.3 1.3h7.4a1.3 1.3 0 0 0 1.3-1.3V5.8zM9 1.8v4h4"/>`,
  code: svg`<path d="M9 1.8H4.3A1.3 1.3 0 0 0 3 3.1v9.8a1.3 1.3 0 0 0 1.3 1.3h7.4a1.3 1.3 0 0 0 1.3-1.3V5.8zM9 1.8v4h4M6.7 8.2L5.2 9.9l1.5 1.7M9.3 8.2l1.5 1.7-1.5 1.7"/>`,
  text: svg`<path d="M9 1.8H4.3A1.3 1.3 0 0 0 3 3.1v9.8a1.3 1.3 0 0 0 1.3 1.3h7.4a1.3 1.3 0 0 0 1.3-1.3V5.8zM9 1.8v4h4M5.5 8.5h5M5.5 11h3.5"/>`,
  data: svg`<ellipse cx="8" cy="3.9" rx="5" ry="2"/><path d="M3 3.9v8.2c0 1.1 2.2 2 5 2s5-.9 5-2V3.9M3 8c0 1.1 2.2 2 5 2s5-.9 5-2"/>`,
  image: svg`<rect x="2" y="2.5" width="12" height="11" rx="1.5"/><circle cx="5.6" cy="6" r="1.1"/><path d="M2.5 12l3.7-3.3 2.3 2 2.5-2.7 2.5 2.5"/>`,
  folder: svg`<path d="M1.8 4.3c0-.7.5-1.3 1.2-1.3h3l1.5 1.7H13c.7 0 1.2.6 1.2 1.3v5.8c0 .7-.5 1.2-1.2 1.2H3c-.7 0-1.2-.5-1.2-1.2z"/>`,
  link: svg`<path d="M6.5 9.5l3-3M7 4.5l1.2-1.2a2.8 2.8 0 0 1 4.2 4.2L11 8.7M9 11.5l-1.2 1.2a2.8 2.8 0 0 1-4.2-4.2L5 7.3"/>`,
  refresh: svg`<path d="M13.2 7A5.3 5.3 0 0 0 3.6 5M2.8 9a5.3 5.3 0 0 0 9.6 2M3.5 2v3.2h3.2M12.5 14v-3.2H9.3"/>`,
  upload: svg`<path d="M8 10.5V2.8M4.8 5.8L8 2.7l3.2 3.1M2.5 10.5v1.8c0 .7.5 1.2 1.2 1.2h8.6c.7 0 1.2-.5 1.2-1.2v-1.8"/>`,
  download: svg`<path d="M8 2.7v7.8M4.8 7.5L8 10.6l3.2-3.1M2.5 10.5v1.8c0 .7.5 1.2 1.2 1.2h8.6c.7 0 1.2-.5 1.2-1.2v-1.8"/>`,
  plan: svg`<path d="M6.5 4h7M6.5 8h7M6.5 12h7M2.3 4l.8.8L4.6 3.3M2.3 8l.8.8L4.6 7.3M2.3 12l.8.8 1.5-1.5"/>`,
  cloud: svg`<path d="M4.6 12.8a2.9 2.9 0 0 1-.4-5.8 4 4 0 0 1 7.7 1 2.4 2.4 0 0 1-.3 4.8z"/>`,
  saved: svg`<path d="M4.6 12.8a2.9 2.9 0 0 1-.4-5.8 4 4 0 0 1 7.7 1 2.4 2.4 0 0 1-.3 4.8zM6 9.6l1.5 1.4 2.6-2.8"/>`,
  disk: svg`<path d="M2.2 9.2l1.6-5.4c.1-.5.5-.8 1-.8h6.4c.5 0 .9.3 1 .8l1.6 5.4v2.6c0 .7-.5 1.2-1.2 1.2H3.4c-.7 0-1.2-.5-1.2-1.2zM2.2 9.2h11.6M11 11.1h.6"/>`,
  unsaved: svg`<path d="M5.2 6a4 4 0 0 1 6.7 2 2.4 2.4 0 0 1 1.5 3.7M11 12.8H4.6a2.9 2.9 0 0 1-.9-5.6M2.5 2.5l11 11"/>`,
  box: svg`<path d="M8 1.8l5.5 3v6.4L8 14.2l-5.5-3V4.8zM2.7 4.9L8 7.8l5.3-2.9M8 7.8v6.2"/>`,
  laptop: svg`<rect x="3" y="3" width="10" height="7.2" rx="1.2"/><path d="M1.6 12.8h12.8"/>`,
  memory: svg`<path d="M2.6 8a5.4 5.4 0 1 0 1.7-3.9M2.5 2.6v2.9h2.9M8 5.2V8l2 1.3"/>`,
  unplug: svg`<path d="M2 14l2.3-2.3M14 2l-2.3 2.3M5.8 6.3l4 4-1.5 1.4a2.8 2.8 0 0 1-4-4zM10.2 9.7l-4-4 1.5-1.4a2.8 2.8 0 0 1 4 4z"/>`,
  agent: svg`<rect x="2.6" y="5" width="10.8" height="8" rx="2"/><path d="M8 5V2.6M5.9 8.4v1M10.1 8.4v1M1 8.2v2M15 8.2v2"/>`,
  key: svg`<circle cx="5.2" cy="10.8" r="3"/><path d="M7.4 8.6l5.8-5.8M11 5l2 2M9.2 6.8l1.3 1.3"/>`,
  todo: svg`<circle cx="8" cy="8" r="5.5" stroke-dasharray="2.2 1.8"/>`,
  doing: svg`<circle cx="8" cy="8" r="5.5"/><path d="M8 5v6a3 3 0 0 0 0-6z" fill="currentColor"/>`,
  done: svg`<circle cx="8" cy="8" r="5.5"/><path d="M5.5 8.2l1.8 1.7 3.3-3.5"/>`,
  play: svg`<path d="M5 3.2v9.6L12.8 8z" fill="currentColor"/>`,
  pause: svg`<path d="M5.5 3.5v9M10.5 3.5v9" stroke-width="2"/>`,
  back: svg`<path d="M10.5 3.5L6 8l4.5 4.5"/>`,
  first: svg`<path d="M12 3.5L7.5 8l4.5 4.5M4.5 3.5v9"/>`,
  latest: svg`<path d="M4 3.5L8.5 8 4 12.5M11.5 3.5v9"/>`,
  stopped: svg`<circle cx="8" cy="8" r="5.5"/><path d="M5.7 8h4.6"/>`,
} satisfies Record<string, TemplateResult<2>>;

export type IconName = keyof typeof SHAPES;

export function icon(name: IconName, classes = ""): TemplateResult {
  return html`<svg class="sw-icon ${classes}" viewBox="0 0 16 16" aria-hidden="true">${SHAPES[name]}</svg>`;
}

/** A turning ring; a dotted ring under reduced motion. */
export function spinner(): TemplateResult {
  return html`<span class="sw-spinner" aria-hidden="true"></span>`;
}

export function toolIcon(kind: string): IconName {
  return Object.hasOwn(SHAPES, kind) ? (kind as IconName) : "other";
}

const BY_ENDING = new Map<string, IconName>([
  ...named("code", "py js ts tsx jsx mjs css html sh rs go c h cpp java rb sql ipynb json yaml yml toml xml"),
  ...named("text", "md txt rst log"),
  ...named("data", "csv tsv parquet duckdb db sqlite jsonl ndjson arrow feather"),
  ...named("image", "png jpg jpeg gif webp svg bmp ico avif"),
]);

function named(icon: IconName, endings: string): [string, IconName][] {
  return endings.split(" ").map((ending) => [ending, icon]);
}

export function fileIcon(name: string, type: string): IconName {
  if (type === "directory") return "folder";
  if (type === "symlink") return "link";
  return BY_ENDING.get(name.slice(name.lastIndexOf(".") + 1).toLowerCase()) ?? "file";
}
