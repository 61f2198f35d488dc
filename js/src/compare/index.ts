import "./style.css";
import { createRoot, hideSnapshot } from "../lib/dom.ts";
import type { Model } from "../lib/protocol.ts";
import { followTheme } from "../lib/theme.ts";
import { Link } from "./link.ts";
import { mountCompare } from "./view.ts";

/** An anywidget module: one link per model, one view per output that shows it. */
export default () => {
  let link: Link | undefined;
  return {
    initialize({ model }: { model: Model }): () => void {
      link = new Link(model);
      return () => link?.dispose();
    },
    render({ el }: { el: HTMLElement }): () => void {
      if (!link) throw new Error("render() before initialize()");
      const current = link;
      const root = createRoot(el, "sw-compare-widget");
      const unfollow = followTheme(root);
      const hide = () => {
        if (current.state !== "live") return;
        unsubscribe();
        hideSnapshot(root, String(current.model.get("snapshot_id")));
      };
      const unsubscribe = current.subscribe(hide);
      hide();
      const unmount = mountCompare(root, current);
      return () => {
        unsubscribe();
        unmount();
        unfollow();
        root.remove();
      };
    },
  };
};
