// The policy that answers permission requests, in words. Pure.
import { line } from "./text.ts";

export interface Policy {
  id: string;
  words: string;
  title: string;
}

export const POLICIES: Policy[] = [
  { id: "ask", words: "Asks you", title: "The agent asks you before every tool call that needs permission" },
  { id: "allow_reads", words: "Allows reads", title: "Reading and searching is allowed, everything else is asked" },
  { id: "allow_edits", words: "Allows edits", title: "Reading and changing files is allowed, everything else is asked" },
  { id: "allow_all", words: "Allows everything", title: "Every tool call is allowed" },
  { id: "deny", words: "Rejects everything", title: "Every tool call that needs permission is rejected" },
];

/** A policy by its name; a notebook function is named by the function. */
export function policyOf(permissions: string): Policy {
  const known = POLICIES.find(({ id }) => id === permissions);
  if (known) return known;
  const name = line(permissions.replace(/^function /, ""), 40);
  return { id: permissions, words: `Decided by ${name}()`, title: `A function of the notebook decides: ${name}. Change it in Python` };
}
