// Simple highlighting of code: comments, strings, numbers, keywords, without a grammar.
import { html, type TemplateResult } from "lit-html";

const KEYWORDS = new Set(
  (
    "and as assert async await break case catch class const continue def default del do done elif else enum except " +
    "export extends false False fi finally fn for from func function global if impl import in interface is lambda let " +
    "match mod mut new nil None nonlocal not null or pass print pub raise return self static struct super switch then " +
    "this throw true True try type typeof use var void while with yield select insert update delete create table where " +
    "group order by limit join left inner on having values into SELECT INSERT UPDATE DELETE CREATE TABLE WHERE FROM " +
    "GROUP ORDER BY LIMIT JOIN LEFT INNER ON AS AND OR NOT NULL HAVING VALUES INTO IS IN"
  ).split(" "),
);
const HASH = new Set("py python sh bash zsh shell console toml yaml yml rb r dockerfile makefile ipynb".split(" "));
const SLASH = new Set("js javascript ts typescript tsx jsx mjs json c cpp h java rs rust go css".split(" "));
const DASH = new Set(["sql"]);
const STRING = String.raw`"""[\s\S]*?(?:"""|$)|'''[\s\S]*?(?:'''|$)|"(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?`;
const WORD = String.raw`\b\d[\w.]*\b|[A-Za-z_][\w]*`;
const LIMIT = 40_000;

/** Draw `code`; unknown languages stay plain. */
export function highlighted(code: string, lang: string): TemplateResult | string {
  const pattern = patternOf(lang.toLowerCase().split(/[^a-z]/)[0] ?? "");
  if (!pattern || code.length > LIMIT) return code;
  const parts: (string | TemplateResult)[] = [];
  let plain = "";
  let from = 0;
  for (const match of code.matchAll(pattern)) {
    const kind = kindOf(match[0], match.groups?.["comment"] !== undefined, match.groups?.["string"] !== undefined);
    if (!kind) continue;
    plain = code.slice(from, match.index);
    if (plain) parts.push(plain);
    parts.push(html`<span class=${`sw-hl-${kind}`}>${match[0]}</span>`);
    from = match.index + match[0].length;
  }
  parts.push(code.slice(from));
  return html`${parts}`;
}

const patterns = new Map<string, RegExp | undefined>();

function patternOf(lang: string): RegExp | undefined {
  if (!patterns.has(lang)) {
    const comment = HASH.has(lang) ? "#[^\\n]*" : SLASH.has(lang) ? "//[^\\n]*|/\\*[\\s\\S]*?(?:\\*/|$)" : DASH.has(lang) ? "--[^\\n]*" : undefined;
    const source = `(?<comment>${comment})|(?<string>${STRING}|\`(?:[^\`\\\\]|\\\\.)*\`?)|${WORD}`;
    patterns.set(lang, comment ? new RegExp(source, "g") : undefined);
  }
  return patterns.get(lang);
}

function kindOf(text: string, comment: boolean, string: boolean): string | undefined {
  if (comment) return "comment";
  if (string) return "string";
  if (/^\d/.test(text)) return "number";
  return KEYWORDS.has(text) ? "keyword" : undefined;
}

export function languageOf(path: string): string {
  return path.slice(path.lastIndexOf(".") + 1).toLowerCase();
}
