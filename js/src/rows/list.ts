// A list of any length of which only the rows in view are in the page. Rows measure themselves.
import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from "@tanstack/virtual-core";
import { html, nothing, render, type TemplateResult } from "lit-html";
import { repeat } from "lit-html/directives/repeat.js";

/** What a list shows: `key` of a row stays the same when rows are inserted before it. */
export interface Rows {
  count: number;
  key(place: number): string | number;
  draw(place: number): TemplateResult | typeof nothing;
}

export interface ListOptions {
  /** The height of a row that was not drawn yet, in pixels; of each, or of the one at a place. */
  estimate?: number | ((place: number) => number);
  /** Rows beyond the view that are in the page, on each side. */
  overscan?: number;
  /** Whether the rows in view stay where they are when rows are put before them. */
  anchored?: boolean;
  /** Called with the places in view whenever they change, to fetch what is missing. */
  seen?: (first: number, last: number) => void;
  /** Called after each drawing of rows. */
  drawn?: () => void;
}

const NOTHING: Rows = { count: 0, key: (place) => place, draw: () => nothing };

export class VirtualList {
  readonly element: HTMLElement;
  private rows: Rows = NOTHING;
  private readonly virtualizer: Virtualizer<HTMLElement, HTMLElement>;
  private readonly unmount: () => void;
  private asked = false;
  private shown = "";
  private edges = "";

  /** `scroller` scrolls, and the list's element is put into it; a view that puts it there itself passes a function that finds it. */
  constructor(scroller: HTMLElement | (() => HTMLElement | null), private readonly options: ListOptions = {}) {
    const { estimate = 48 } = options;
    this.element = document.createElement("div");
    this.element.className = "sw-list";
    if (typeof scroller !== "function") scroller.append(this.element);
    this.virtualizer = new Virtualizer<HTMLElement, HTMLElement>({
      count: 0,
      getScrollElement: typeof scroller === "function" ? scroller : () => scroller,
      estimateSize: typeof estimate === "number" ? () => estimate : estimate,
      getItemKey: (place) => this.rows.key(place),
      overscan: options.overscan ?? 8,
      anchorTo: options.anchored ? "end" : "start",
      scrollEndThreshold: -1, // the view itself decides whether it follows the end
      scrollToFn: elementScroll,
      observeElementRect,
      observeElementOffset,
      measureElement: (row, _entry, { options: { getItemKey, estimateSize }, itemSizeCache }) => {
        const place = Number(row.dataset["index"]);
        return isShown(row) ? heightOf(row) : (itemSizeCache.get(getItemKey(place)) ?? estimateSize(place));
      },
      onChange: () => this.later(),
    });
    // Before each change of a height the library would add up all heights, to find whether the end is in view.
    Object.assign(this.virtualizer, { getVirtualDistanceFromEnd: () => Infinity });
    this.unmount = this.virtualizer._didMount();
    this.virtualizer._willUpdate();
  }

  /** Show these rows, drawing again those in view. */
  show(rows: Rows): void {
    const edges = rows.count ? `${rows.count} ${rows.key(0)} ${rows.key(rows.count - 1)}` : "";
    this.rows = rows;
    if (edges !== this.edges) this.virtualizer.setOptions({ ...this.virtualizer.options, count: rows.count, getItemKey: (place) => rows.key(place) });
    this.edges = edges;
    this.virtualizer._willUpdate();
    this.draw();
  }

  /** Bring a row into view. */
  reveal(place: number, align: "start" | "center" | "end" | "auto" = "auto"): void {
    if (place >= 0 && place < this.rows.count) this.virtualizer.scrollToIndex(place, { align });
  }

  dispose(): void {
    this.unmount();
    this.element.remove();
  }

  private later(): void {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.draw();
    });
  }

  private draw(): void {
    const items = this.virtualizer.getVirtualItems();
    this.element.style.height = `${this.virtualizer.getTotalSize()}px`;
    render(html`<div class="sw-list-rows" style="transform: translateY(${Math.round(items[0]?.start ?? 0)}px)">${repeat(
      items,
      (item) => item.key,
      (item) => html`<div class="sw-list-row" data-index=${item.index}>${this.rows.draw(item.index)}</div>`,
    )}</div>`, this.element);
    for (const row of (this.element.firstElementChild?.children ?? []) as Iterable<HTMLElement>) {
      this.virtualizer.measureElement(row); // observes it, and measures it some time later
      if (isShown(row)) this.virtualizer.resizeItem(Number(row.dataset["index"]), heightOf(row));
    }
    this.element.style.height = `${this.virtualizer.getTotalSize()}px`;
    this.options.drawn?.();
    const [first, last] = [items[0]?.index ?? 0, items.at(-1)?.index ?? -1];
    if (this.shown !== `${first} ${last} ${this.rows.count}`) {
      this.shown = `${first} ${last} ${this.rows.count}`;
      if (last >= first) this.options.seen?.(first, last);
    }
  }
}

/** Whether a row has a height: in a list that is hidden it has none, and keeps the one that it had. */
function isShown(row: Element): boolean {
  return row.getClientRects().length > 0;
}

/** Not rounded: the rows stand below each other, so that differences would add up. */
function heightOf(row: Element): number {
  return row.getBoundingClientRect().height;
}
