// The common frame of our anywidget modules.
import type { Connection } from "./connection.ts";
import { createRoot, hideSnapshot } from "./dom.ts";
import type { Model } from "./protocol.ts";
import { followTheme } from "./theme.ts";

type Cleanup = () => void;

/**
 * An anywidget module: one connection per model, one view per output that shows it. `views` is called once per model and
 * returns the function that draws each of its views.
 */
export function widget<C extends Connection<never>>(name: string, connect: (model: Model) => C, views: (connection: C) => (root: HTMLElement) => Cleanup) {
  return () => {
    let connection: C | undefined;
    let mount: (root: HTMLElement) => Cleanup;
    return {
      initialize({ model }: { model: Model }): Cleanup {
        const made = (connection = connect(model));
        mount = views(made);
        return () => made.dispose();
      },
      render({ el }: { el: HTMLElement }): Cleanup {
        if (!connection) throw new Error("render() before initialize()");
        const current = connection;
        const root = createRoot(el, name);
        const unfollow = followTheme(root);
        const hide = () => {
          if (current.state !== "live") return;
          unsubscribe();
          hideSnapshot(root, String(current.model.get("snapshot_id")));
        };
        const unsubscribe = current.subscribe(hide);
        hide();
        const unmount = mount(root);
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
