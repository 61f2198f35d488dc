// What a picker of mode, model or effort shows. Pure.
import type { Choice, Session, Setting, SettingName } from "./protocol.ts";
import { line } from "./text.ts";

export interface Picker {
  name: SettingName;
  label: string;
  value: string;
  words: string;
  choices: Choice[];
  /** Why nothing can be chosen. */
  reason: string | undefined;
  title: string;
}

const LABELS: Record<SettingName, string> = { mode: "Mode", model: "Model", effort: "Effort" };
const UNKNOWN = "The agent tells what there is when it starts, with the first prompt";

/** The pickers, in the agent's own words; before it was ever started they say what was asked for, and wait. */
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
