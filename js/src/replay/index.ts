import "./style.css";
import { widget } from "../lib/widget.ts";
import { Player } from "./player.ts";
import { mountReplay } from "./view.ts";

export default widget("sw-replay-widget", (model) => new Player(model), (player) => (root) => mountReplay(root, player));
