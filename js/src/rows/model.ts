// Rows by place, of which a page holds only some: pages are fetched when they come into view. Pure: no DOM, no clock.

/** The rows `first` to `last`, both included. */
export interface Range {
  first: number;
  last: number;
}

/** `size`: rows of a page; `kept`: pages that are held, the least recently seen are dropped. */
export class RowModel<T> {
  private pages = new Map<number, (T | undefined)[]>();
  private asked = new Set<number>();
  private total = 0;

  constructor(readonly size = 50, private readonly kept = 40) {}

  get count(): number {
    return this.total;
  }

  get(place: number): T | undefined {
    return this.pages.get(Math.floor(place / this.size))?.[place % this.size];
  }

  /** Set the number of rows; rows beyond it are dropped, and so is everything from `changed` on, whose content is old. */
  resize(count: number, changed = count): void {
    this.total = count;
    const from = Math.min(count, changed);
    for (const [number, rows] of this.pages) {
      const keep = from - number * this.size;
      if (keep >= this.size) continue;
      if (keep <= 0) this.pages.delete(number);
      else this.pages.set(number, rows.slice(0, keep));
    }
    for (const number of this.asked) if ((number + 1) * this.size > from) this.asked.delete(number);
  }

  /** The pages to fetch so that `first` to `last` can be drawn, as ranges; each is returned once. */
  wanted(first: number, last: number): Range[] {
    const found: Range[] = [];
    const end = Math.min(last, this.total - 1);
    for (let number = Math.floor(Math.max(0, first) / this.size); number * this.size <= end; number++) {
      this.touch(number);
      if (this.asked.has(number) || this.whole(number)) continue;
      this.asked.add(number);
      const [from, to] = [number * this.size, Math.min((number + 1) * this.size, this.total) - 1];
      const before = found.at(-1);
      if (before && before.last === from - 1) before.last = to;
      else found.push({ first: from, last: to });
    }
    return found;
  }

  /** Put rows in their places, beginning with `first`; those beyond the count are dropped. */
  put(first: number, rows: readonly T[]): void {
    rows.slice(0, Math.max(0, this.total - first)).forEach((row, i) => {
      const number = Math.floor((first + i) / this.size);
      const page = this.pages.get(number) ?? [];
      page[(first + i) % this.size] = row;
      this.pages.delete(number);
      this.pages.set(number, page);
      this.asked.delete(number);
    });
    for (const number of this.pages.keys()) {
      if (this.pages.size <= this.kept) return;
      this.pages.delete(number);
    }
  }

  /** A range could not be fetched: it is wanted again. */
  failed({ first, last }: Range): void {
    for (let number = Math.floor(first / this.size); number * this.size <= last; number++) this.asked.delete(number);
  }

  private whole(number: number): boolean {
    const page = this.pages.get(number);
    if (!page) return false;
    const rows = Math.min(this.size, this.total - number * this.size);
    for (let i = 0; i < rows; i++) if (page[i] === undefined) return false;
    return true;
  }

  private touch(number: number): void {
    const page = this.pages.get(number);
    if (!page) return;
    this.pages.delete(number);
    this.pages.set(number, page);
  }
}
