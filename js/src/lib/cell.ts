// The input field of a blocked cell. A kernel that waits in a cell receives no click, but does receive text from this field.
import type { CellQuestion } from "./protocol.ts";

const CLOSED = "answered elsewhere";

/** The field of a question, in JupyterLab and Notebook; undefined in other hosts. */
export function cellField(page: Document, question: CellQuestion): HTMLInputElement | undefined {
  const fields = [...page.querySelectorAll<HTMLInputElement>("input.jp-Stdin-input")];
  return fields.findLast((field) => field.parentElement?.textContent?.startsWith(question.prompt));
}

/** Type an answer into a question's field, with `content` after the first word; returns whether the field exists. */
export function answerInCell(page: Document, question: CellQuestion, option: string, content?: unknown): boolean {
  const answer = Object.hasOwn(question.answers, option) ? question.answers[option] : undefined;
  if (answer === undefined) return false;
  const said = content === undefined ? answer : answer.replace(/^\w+/, (word) => `${word} ${JSON.stringify(content)}`);
  return type(cellField(page, question), said);
}

/** Close the field of an answered question: JupyterLab runs no other cell while a field is open. */
export function closeInCell(page: Document, question: CellQuestion): void {
  type(cellField(page, question), CLOSED);
}

function type(field: HTMLInputElement | undefined, text: string): boolean {
  if (!field) return false;
  field.value = text;
  field.focus = () => undefined; // JupyterLab would move the focus, and the page with it, to a field that closes
  field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  return true;
}
