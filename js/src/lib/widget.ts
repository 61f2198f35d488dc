// The common frame of our anywidget modules.
import { Client } from "./client.ts";
import { createRoot, hideSnapshot } from "./dom.ts";
import type { Model } from "./protocol.ts";
import { followTheme } from "./theme.ts";

type Cleanup = () => void;

/** An anywidget module: one `shared` object per model, one view per output that shows it. */
export function widget<T>(name: string, share: (client: Client) => T, mount: (root: HTMLElement, client: Client, shared: T) => Cleanup) {
  return () => {
    let client: Client | undefined;
    let shared: T;
    return {
      initialize({ model }: { model: Model }): Cleanup {
        client = new Client(model);
        shared = share(client);
        return () => client?.dispose();
      },
      render({ el }: { el: HTMLElement }): Cleanup {
        if (!client) throw new Error("render() before initialize()");
        const current = client;
        const root = createRoot(el, name);
        const unfollow = followTheme(root);
        const hide = () => {
          if (current.link !== "live") return;
          unsubscribe();
          hideSnapshot(root, String(current.model.get("snapshot_id")));
        };
        const unsubscribe = current.subscribe(hide);
        hide();
        const unmount = mount(root, current, shared);
        return () => {
          unsubscribe();
          unmount();
          unfollow();
          root.remove();
        };
      },
    };
  };
}
