// Buttons become active only after a request was visible for a while: the second half of a double click must not answer
// the next request, or a request whose content just changed.
import type { Question, Tool } from "../lib/protocol.ts";

/** Milliseconds: the longest double click of common systems. */
export const ARMED_AFTER = 500;

export class Arming {
  private asked: Tool | Question | undefined;
  private content = "";
  private ready = false;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private redraw: () => void) {}

  /** Whether the request was visible, unchanged, for long enough; called at each redraw. */
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
