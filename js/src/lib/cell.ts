// The field that a blocked cell opens. No click reaches a kernel that waits in a cell, but what is typed there does.
import type { CellQuestion } from "./protocol.ts";

const CLOSED = "answered elsewhere";

/** The field of a question, in JupyterLab and Notebook; undefined where the host shows it in another way. */
export function cellField(page: Document, question: CellQuestion): HTMLInputElement | undefined {
  const fields = [...page.querySelectorAll<HTMLInputElement>("input.jp-Stdin-input")];
  return fields.findLast((field) => field.parentElement?.textContent?.startsWith(question.prompt));
}

/** Answer a question in its field, as a person would, `content` behind the first word; returns whether it has one. */
export function answerInCell(page: Document, question: CellQuestion, option: string, content?: unknown): boolean {
  const answer = Object.hasOwn(question.answers, option) ? question.answers[option] : undefined;
  if (answer === undefined) return false;
  const said = content === undefined ? answer : answer.replace(/^\w+/, (word) => `${word} ${JSON.stringify(content)}`);
  return type(cellField(page, question), said);
}

/** Close the field of a question that nobody asks any more: JupyterLab runs no other cell while one is open. */
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
