import "./style.css";
import { createRoot, hideSnapshot } from "../lib/dom.ts";
import type { Model } from "../lib/protocol.ts";
import { followTheme } from "../lib/theme.ts";
import { Player } from "./player.ts";
import { mountReplay } from "./view.ts";

/** An anywidget module: one player per model, one view per output that shows it. */
export default () => {
  let player: Player | undefined;
  return {
    initialize({ model }: { model: Model }): () => void {
      player = new Player(model);
      return () => player?.dispose();
    },
    render({ el }: { el: HTMLElement }): () => void {
      if (!player) throw new Error("render() before initialize()");
      const current = player;
      const root = createRoot(el, "sw-replay-widget");
      const unfollow = followTheme(root);
      const hide = () => {
        if (current.state !== "live") return;
        unsubscribe();
        hideSnapshot(root, String(current.model.get("snapshot_id")));
      };
      const unsubscribe = current.subscribe(hide);
      hide();
      const unmount = mountReplay(root, current);
      return () => {
        unsubscribe();
        unmount();
        unfollow();
        root.remove();
      };
    },
  };
};
