// A part of a widget as a model of its own, so that a view made for a widget can stand inside of another one.
import type { Model } from "./protocol.ts";

type Callback = (...args: never[]) => void;

/** The messages of `outer` of the kind `part` with this name; its traits are those of `state`, which the kernel does not see. */
export function part(outer: Model, name: string, state: Record<string, unknown> = {}): Model {
  const received = new Map<Callback, Callback>();
  return {
    get: (trait) => state[trait],
    set(trait, value) { state[trait] = value; },
    save_changes() {},
    on(event, callback) {
      if (event !== "msg:custom") return;
      const receive = (content: { kind: string; part?: string; message?: never }, buffers: never) => {
        if (content.kind === "part" && content.part === name) callback(content.message as never, buffers);
      };
      received.set(callback, receive as Callback);
      outer.on(event, receive as Callback);
    },
    off(event, callback) {
      if (!callback) return;
      outer.off(event, received.get(callback));
      received.delete(callback);
    },
    send: (message, callbacks, buffers) => outer.send({ kind: "part", part: name, message }, callbacks, buffers),
  };
}
