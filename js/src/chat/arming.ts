// Buttons under a question that a person has had time to see: the second half of a double click must not answer
// the question that took the place of the first, nor one whose content has just changed.
import type { Question, Tool } from "../lib/protocol.ts";

/** Milliseconds; the longest pause that systems take for a double click. */
export const ARMED_AFTER = 500;

export class Arming {
  private asked: Tool | Question | undefined;
  private content = "";
  private ready = false;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private redraw: () => void) {}

  /** Whether what is asked has been on the page, as it is now, for long enough; called whenever it is drawn. */
  armed(asked: Tool | Question): boolean {
    if (asked === this.asked) return this.ready;
    this.asked = asked;
    const content = JSON.stringify(asked);
    if (content === this.content) return this.ready;
    this.content = content;
    this.ready = false;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.ready = true;
      this.redraw();
    }, ARMED_AFTER);
    return false;
  }

  dispose(): void {
    clearTimeout(this.timer);
  }
}
