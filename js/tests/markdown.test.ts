// Whatever an agent writes, the page shows text and a few harmless tags.
import assert from "node:assert/strict";
import { test } from "node:test";
import { JSDOM } from "jsdom";
import { Markdown } from "../src/lib/markdown.ts";

const { window } = new JSDOM("");
const markdown = new Markdown(window);
const html = (source: string) => markdown.blocks(source).map((block) => (block.type === "html" ? block.html : "")).join("");

function elements(source: string): Element[] {
  const template = window.document.createElement("template");
  template.innerHTML = html(source);
  return [...template.content.querySelectorAll("*")];
}

const HOSTILE = [
  "<script>alert(1)</script>",
  "text <script>alert(1)</script> text",
  "<img src=x onerror=alert(1)>",
  "text <img src=x onerror=alert(1)>",
  "![beacon](https://evil.example/x.png)",
  "![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
  "[x](javascript:alert(1))",
  "[x](JaVaScRiPt:alert(1))",
  "[x](java\nscript:alert(1))",
  "[x](&#106;avascript:alert(1))",
  "[x](data:text/html,<script>alert(1)</script>)",
  "[x](vbscript:msgbox(1))",
  "[x](file:///etc/passwd)",
  "[x]: javascript:alert(1)\n\n[x]",
  "<javascript:alert(1)>",
  '[x](https://a.example "\\" onmouseover=alert(1) x=\\"")',
  "<svg onload=alert(1)>",
  "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
  "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
  "<iframe src=javascript:alert(1)></iframe>",
  "<object data=data:text/html,x></object>",
  "<style>* { background: url(https://evil.example) }</style>",
  "<b style='position:fixed;inset:0'>x</b>",
  "<a href='javascript:alert(1)' onclick='alert(1)'>x</a>",
  "<form action=https://evil.example><button>x</button></form>",
  "<base href=https://evil.example>",
  "<meta http-equiv=refresh content='0;url=https://evil.example'>",
  "```js\n</code></pre><script>alert(1)</script>\n```",
  "- ```\n  </code><img src=x onerror=alert(1)>\n  ```",
  "| a |\n|---|\n| <img src=x onerror=alert(1)> |",
  "# <img src=x onerror=alert(1)>",
  "`<img src=x onerror=alert(1)>`",
  "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
  "<!--><img src=x onerror=alert(1)>-->",
];
const TAGS = new Set(
  "P BR STRONG EM DEL CODE PRE UL OL LI BLOCKQUOTE H1 H2 H3 H4 H5 H6 TABLE THEAD TBODY TR TH TD HR A SUB SUP".split(" "),
);
const ATTRIBUTES = new Set(["href", "title", "start", "align", "target", "rel", "dir"]);

for (const source of HOSTILE) {
  test(`harmless: ${JSON.stringify(source).slice(0, 70)}`, () => {
    for (const element of elements(source)) {
      assert.ok(TAGS.has(element.tagName), `<${element.tagName}>`);
      for (const { name } of element.attributes) assert.ok(ATTRIBUTES.has(name), name);
      const href = element.getAttribute("href");
      if (href !== null) assert.match(href, /^(https?|mailto):/);
    }
  });
}

test("raw HTML is shown, not swallowed", () => {
  assert.ok(html("a <b>bold</b> word").includes("&lt;b&gt;bold&lt;/b&gt;"));
});

test("links open apart and tell nothing to where they lead", () => {
  const [link] = elements("[docs](https://docs.example/a?b=c)").filter((element) => element.tagName === "A");
  assert.equal(link?.getAttribute("href"), "https://docs.example/a?b=c");
  assert.equal(link?.getAttribute("target"), "_blank");
  assert.match(link?.getAttribute("rel") ?? "", /noopener/);
});

test("an image is a link to it", () => {
  const all = elements("![plot](https://x.example/p.png)");
  assert.deepEqual(all.map((element) => element.tagName), ["P", "A"]);
  assert.equal(all[1]?.textContent, "plot");
});

test("characters that turn the reading direction are drawn", () => {
  assert.ok(html("see \u202Egnp.exe").includes("⟨U+202E⟩gnp.exe"));
  const [code] = markdown.blocks("```py\nif admin: \u2066# no\n```");
  assert.ok(code?.type === "code" && code.text.includes("⟨U+2066⟩"));
});

test("code is a block of text with its language", () => {
  assert.deepEqual(markdown.blocks("a\n\n```py\nx < 1\n```"), [
    { type: "html", html: "<p>a</p>\n" },
    { type: "code", lang: "py", text: "x < 1" },
  ]);
});

test("tables, lists and tasks are drawn", () => {
  assert.ok(html("| a |\n|---|\n| 1 |").includes("<td>1</td>"));
  assert.ok(html("- [x] done\n- [ ] open").includes("☑ done"));
});

test("a text that grows is rendered once per block, not once per letter", () => {
  const paragraphs = Array.from({ length: 400 }, (_, i) => `Paragraph ${i} with *some* text in it.`);
  const fresh = new Markdown(window);
  fresh.blocks(paragraphs.join("\n\n"));
  const started = performance.now();
  for (let i = 0; i < 20; i++) fresh.blocks(`${paragraphs.join("\n\n")}\n\nand ${"x".repeat(i)}`);
  const again = (performance.now() - started) / 20;
  const whole = performance.now();
  new Markdown(window).blocks(paragraphs.join("\n\n"));
  assert.ok(again < (performance.now() - whole) / 2, `${again} ms for one more letter`);
});

test("quotes and lists nest to a bound, and what nests deeper is text", () => {
  for (const source of ["> ".repeat(1800), "1. ".repeat(1200), "> - ".repeat(900), "- ".repeat(1800), `${" -".repeat(32_000)}x\nx`]) {
    const [block, ...others] = markdown.blocks(`${source}deep`);
    assert.equal(others.length, 0);
    if (block?.type === "html") assert.ok(elements(`${source}deep`).length < 80);
    assert.ok(JSON.stringify(block).includes("deep") || JSON.stringify(block).includes("x"));
  }
});

test("a fault of the parser leaves plain text", () => {
  const source = "[".repeat(9000) + "](x)";
  assert.ok(markdown.blocks(source).every((block) => block.type !== "code"));
  const broken = new Markdown(window);
  (broken as unknown as { marked: { lexer: () => void } }).marked.lexer = () => {
    throw new RangeError("Maximum call stack size exceeded");
  };
  assert.deepEqual(broken.blocks("> *a*"), [{ type: "text", text: "> *a*" }]);
});

test("a long message of the usual kind is drawn whole", () => {
  const part = "## Title\n\nSome *words* and `code` in a [link](https://a.example).\n\n- one\n- two\n  - three\n\n```py\nx = 1\n```\n\n";
  const blocks = markdown.blocks(part.repeat(12));
  assert.equal(blocks.filter((block) => block.type === "text").length, 0);
  assert.equal(blocks.length, 48);
});
