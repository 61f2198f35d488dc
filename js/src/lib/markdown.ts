// Markdown from an agent, made safe: raw HTML is shown as text, and DOMPurify has the last word.
import createDOMPurify, { type WindowLike } from "dompurify";
import { Marked, type Token, type Tokens } from "marked";
import { visible } from "./text.ts";

/** One top-level block. Code is text, to be drawn by a template; everything else is safe HTML. */
export type MarkdownBlock = { type: "code"; lang: string; text: string } | { type: "html"; html: string };

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

export class Markdown {
  private readonly marked: Marked;
  private readonly purify: ReturnType<typeof createDOMPurify>;
  private readonly cache = new Map<string, string>();

  constructor(window: WindowLike) {
    this.purify = createDOMPurify(window);
    this.purify.addHook("afterSanitizeAttributes", (node) => {
      if (node.tagName !== "A") return;
      node.setAttribute("target", "_blank");
      node.setAttribute("rel", "noopener noreferrer nofollow");
    });
    this.marked = new Marked({ gfm: true });
    this.marked.use({
      renderer: {
        html: ({ text }: Tokens.HTML | Tokens.Tag) => escape(text),
        image: ({ href, text }: Tokens.Image) => `<a href="${escape(href)}">${escape(text || href)}</a>`,
        checkbox: ({ checked }: Tokens.Checkbox) => (checked ? "☑ " : "☐ "),
      },
    });
  }

  /** Split into blocks. The blocks of a text that only grew are those of before, but for the last ones. */
  blocks(source: string): MarkdownBlock[] {
    const blocks: MarkdownBlock[] = [];
    for (const token of this.marked.lexer(visible(source))) {
      if (token.type === "space" || token.type === "def") continue;
      if (token.type === "code") blocks.push({ type: "code", lang: (token as Tokens.Code).lang ?? "", text: token.text });
      else blocks.push({ type: "html", html: this.html(token) });
    }
    return blocks;
  }

  private html(token: Token): string {
    const key = `${token.type} ${token.raw}`;
    const known = this.cache.get(key);
    if (known !== undefined) return known;
    const html = this.purify.sanitize(this.marked.parser([token]), ALLOWED);
    if (this.cache.size >= REMEMBERED) this.cache.clear();
    this.cache.set(key, html);
    return html;
  }
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
