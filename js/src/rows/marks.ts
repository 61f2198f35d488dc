// Marks of a text in drawn rows, without a change of the page: CSS highlights. A browser without them shows the rows alone.

const NAME = "sw-find";
const MOST = 200;

/** The marks of one view; all views of a page share the highlight. */
export class Marks {
  private ranges: Range[] = [];

  /** Mark a text, upper and lower case alike, in these elements, and nothing else. */
  show(elements: Iterable<Element>, text: string): void {
    this.clear();
    if (!("highlights" in CSS) || !text.trim()) return;
    const wanted = text.toLowerCase();
    for (const element of elements) {
      const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
      while (walker.nextNode() && this.ranges.length < MOST) this.find(walker.currentNode as Text, wanted);
    }
    if (!this.ranges.length) return;
    const shared = CSS.highlights.get(NAME) ?? new Highlight();
    for (const range of this.ranges) shared.add(range);
    CSS.highlights.set(NAME, shared);
  }

  clear(): void {
    if (!this.ranges.length) return;
    const shared = CSS.highlights.get(NAME);
    for (const range of this.ranges.splice(0)) shared?.delete(range);
  }

  private find(node: Text, wanted: string): void {
    const words = node.data.toLowerCase();
    if (words.length !== node.length) return; // a letter whose lower case is longer: places would differ
    for (let at = words.indexOf(wanted); at >= 0 && this.ranges.length < MOST; at = words.indexOf(wanted, at + wanted.length)) {
      const range = new Range();
      range.setStart(node, at);
      range.setEnd(node, at + wanted.length);
      this.ranges.push(range);
    }
  }
}
