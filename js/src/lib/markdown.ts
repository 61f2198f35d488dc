// Markdown from an agent, made safe: raw HTML is shown as text, and DOMPurify runs last.
// It cannot freeze the page: nesting, paragraph length and parsing time are bounded, and
// text beyond a bound is shown as plain text.
import createDOMPurify, { type WindowLike } from "dompurify";
import { Marked, type Token, Tokenizer, type Tokens } from "marked";
import { visible } from "./text.ts";

/** One top-level block. Code and text are drawn by a template; everything else is safe HTML. */
export type MarkdownBlock = { type: "code"; lang: string; text: string } | { type: "text"; text: string } | { type: "html"; html: string };

const ALLOWED = {
  ALLOWED_TAGS: (
    "p br strong em del code pre ul ol li blockquote h1 h2 h3 h4 h5 h6 table thead tbody tr th td hr a sub sup"
  ).split(" "),
  ALLOWED_ATTR: ["href", "title", "start", "align", "target", "rel", "dir"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  KEEP_CONTENT: true,
};
const REMEMBERED = 2000;
/** Quotes and lists inside each other. */
const NESTED = 16;
/** Characters: a longer paragraph stays plain, a longer link is no link, a block of more HTML is shown as source. */
const PARAGRAPH = 10_000;
const LINK = 2000;
const HTML = 200_000;
const BLOCKS = 1000;
/** Milliseconds to parse and sanitise one text; a text shorter than HARMLESS needs no time limit. */
const PARSING = 200;
const CLEANING = 500;
const HARMLESS = 2000;
const SLOW = 50;

/** The steps of marked of which a single one could take too long or nest too deep. */
class Bounded extends Tokenizer {
  /** Whether quotes and lists stay plain: finding them in a very long line takes too long. */
  flat = false;
  private depth = 0;

  override blockquote(src: string): Tokens.Blockquote | undefined {
    return this.deeper(() => super.blockquote(src));
  }

  override list(src: string): Tokens.List | undefined {
    return this.deeper(() => super.list(src));
  }

  override url(src: string): Tokens.Link | undefined {
    return super.url(src.slice(0, LINK));
  }

  private deeper<T>(read: () => T): T | undefined {
    if (this.flat || this.depth === NESTED) return undefined;
    this.depth += 1;
    try {
      return read();
    } finally {
      this.depth -= 1;
    }
  }
}

export class Markdown {
  private readonly marked: Marked;
  private readonly bounded = new Bounded();
  private readonly purify: ReturnType<typeof createDOMPurify>;
  private readonly cache = new Map<string, string>();
  /** Texts that took too long; a text with the same beginning is not parsed again. */
  private slow: string[] = [];
  private deadline = Infinity;
  private late = false;

  constructor(window: WindowLike) {
    this.purify = createDOMPurify(window);
    this.purify.addHook("afterSanitizeAttributes", (node) => {
      if (node.tagName !== "A") return;
      node.setAttribute("target", "_blank");
      node.setAttribute("rel", "noopener noreferrer nofollow");
    });
    this.marked = new Marked({ gfm: true });
    this.marked.setOptions({ tokenizer: this.bounded });
    this.marked.use({
      renderer: {
        html: ({ text }: Tokens.HTML | Tokens.Tag) => escape(text),
        image: ({ href, text }: Tokens.Image) => `<a href="${escape(href)}">${escape(text || href)}</a>`,
        checkbox: ({ checked }: Tokens.Checkbox) => (checked ? "☑ " : "☐ "),
      },
      extensions: [
        // marked calls these before each step: out of time, they consume the whole rest
        { name: "plain", level: "block", tokenizer: (src) => (this.over() ? plain(src) : undefined), renderer: ({ text }) => `<p>${escape(text)}</p>` },
        { name: "rest", level: "inline", tokenizer: (src) => (this.over() || src.length > PARAGRAPH ? { type: "text", raw: src, text: src } : undefined) },
      ],
    });
  }

  /** Split into blocks. A text that only grew keeps its blocks, except the last ones. */
  blocks(source: string): MarkdownBlock[] {
    if (this.slow.some((start) => source.startsWith(start))) return [{ type: "text", text: source }];
    this.late = false;
    this.bounded.flat = source.split("\n").some((line) => line.length > PARAGRAPH);
    try {
      return this.read(visible(source));
    } catch {
      this.late = true; // too deep for the stack, or another parser error
      return [{ type: "text", text: source }];
    } finally {
      if (this.late) this.slow = [source, ...this.slow].slice(0, SLOW);
    }
  }

  private read(source: string): MarkdownBlock[] {
    const blocks: MarkdownBlock[] = [];
    const within = (budget: number) => (this.deadline = source.length > HARMLESS ? performance.now() + budget : Infinity);
    within(PARSING);
    const tokens = this.marked.lexer(source);
    within(CLEANING);
    for (const [i, token] of tokens.entries()) {
      if (token.type === "space" || token.type === "def") continue;
      if (blocks.length === BLOCKS || this.over()) return [...blocks, { type: "text", text: tokens.slice(i).map(({ raw }) => raw).join("") }];
      if (token.type === "code") blocks.push({ type: "code", lang: (token as Tokens.Code).lang ?? "", text: token.text });
      else blocks.push(this.block(token));
    }
    return blocks;
  }

  private block(token: Token): MarkdownBlock {
    const html = token.type === "plain" ? undefined : this.html(token);
    return html === undefined ? { type: "text", text: token.raw } : { type: "html", html };
  }

  private over(): boolean {
    const over = performance.now() > this.deadline;
    this.late ||= over;
    return over;
  }

  private html(token: Token): string | undefined {
    const key = `${token.type} ${token.raw}`;
    const known = this.cache.get(key);
    if (known !== undefined) return known;
    const made = this.marked.parser([token]);
    if (made.length > HTML) return undefined;
    const html = this.purify.sanitize(made, ALLOWED);
    if (this.cache.size >= REMEMBERED) this.cache.clear();
    this.cache.set(key, html);
    return html;
  }
}

function plain(src: string): Tokens.Generic {
  return { type: "plain", raw: src, text: src };
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
