// A list of any length of which only the rows in view are in the page. Rows measure themselves.
import { elementScroll, measureElement, observeElementOffset, observeElementRect, Virtualizer } from "@tanstack/virtual-core";
import { html, nothing, render, type TemplateResult } from "lit-html";
import { repeat } from "lit-html/directives/repeat.js";

/** What a list shows: `key` of a row stays the same when rows are inserted before it. */
export interface Rows {
  count: number;
  key(place: number): string | number;
  draw(place: number): TemplateResult | typeof nothing;
}

export interface ListOptions {
  /** The height of a row that was not drawn yet, in pixels. */
  estimate?: number;
  /** Called with the places in view whenever they change, to fetch what is missing. */
  seen?: (first: number, last: number) => void;
}

const NOTHING: Rows = { count: 0, key: (place) => place, draw: () => nothing };

export class VirtualList {
  readonly element: HTMLElement;
  private rows: Rows = NOTHING;
  private readonly virtualizer: Virtualizer<HTMLElement, HTMLElement>;
  private readonly unmount: () => void;
  private asked = false;
  private shown = "";

  /** `scroller` scrolls; the list's element is put into it. */
  constructor(scroller: HTMLElement, private readonly options: ListOptions = {}) {
    this.element = document.createElement("div");
    this.element.className = "sw-list";
    scroller.append(this.element);
    this.virtualizer = new Virtualizer<HTMLElement, HTMLElement>({
      count: 0,
      getScrollElement: () => scroller,
      estimateSize: () => options.estimate ?? 48,
      getItemKey: (place) => this.rows.key(place),
      overscan: 8,
      scrollToFn: elementScroll,
      observeElementRect,
      observeElementOffset,
      measureElement,
      onChange: () => this.later(),
    });
    this.unmount = this.virtualizer._didMount();
    this.virtualizer._willUpdate();
  }

  /** Show these rows, drawing again those in view. */
  show(rows: Rows): void {
    const moved = rows.count !== this.rows.count;
    this.rows = rows;
    if (moved) this.virtualizer.setOptions({ ...this.virtualizer.options, count: rows.count, getItemKey: (place) => rows.key(place) });
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
    render(html`<div class="sw-list-rows" style="transform: translateY(${items[0]?.start ?? 0}px)">${repeat(
      items,
      (item) => item.key,
      (item) => html`<div class="sw-list-row" data-index=${item.index}>${this.rows.draw(item.index)}</div>`,
    )}</div>`, this.element);
    for (const row of this.element.firstElementChild?.children ?? []) this.virtualizer.measureElement(row as HTMLElement);
    const [first, last] = [items[0]?.index ?? 0, items.at(-1)?.index ?? -1];
    if (this.shown !== `${first} ${last} ${this.rows.count}`) {
      this.shown = `${first} ${last} ${this.rows.count}`;
      if (last >= first) this.options.seen?.(first, last);
    }
  }
}
