// The content of the pickers of mode, model and effort. Pure.
import type { Choice, Session, Setting, SettingName } from "./protocol.ts";
import { line } from "./text.ts";

export interface Picker {
  name: SettingName;
  label: string;
  value: string;
  words: string;
  choices: Choice[];
  /** Why the picker is disabled. */
  reason: string | undefined;
  title: string;
}

const LABELS: Record<SettingName, string> = { mode: "Mode", model: "Model", effort: "Effort" };
const UNKNOWN = "The options are known after the first prompt has started the agent";

/** The pickers, with the agent's own labels; before its first start they show the user's choices and are disabled. */
export function pickersOf(session: Session, settings: Setting[] | null, running: boolean): Picker[] {
  if (!settings) {
    return (["mode", "model"] as const).map((name) => {
      const words = line(session[name] ?? LABELS[name], 60);
      return { name, label: LABELS[name], value: session[name] ?? "", words, choices: [], reason: UNKNOWN, title: `${LABELS[name]}: ${UNKNOWN}` };
    });
  }
  return settings.map((setting) => pickerOf(setting, session[setting.name], running));
}

function pickerOf({ name, current, choices }: Setting, wanted: string | null, running: boolean): Picker {
  const value = wanted ?? current ?? "";
  const known = choices.find((choice) => choice.id === value);
  const all = known || !value ? choices : [{ id: value, name: value, description: "" }, ...choices];
  const words = line(known?.name ?? (value || "Default"), 60);
  const about = known?.description ? `. ${line(known.description, 300)}` : "";
  const later = running && wanted !== null && wanted !== current ? ". From the next prompt on" : "";
  const label = LABELS[name];
  return { name, label, value, words, choices: all, reason: undefined, title: `${label}: ${words}${about}${later}` };
}
