import "./style.css";
import { widget } from "../lib/widget.ts";
import { Composer } from "../chat/composer.ts";
import { Tree } from "../files/tree.ts";
import { mountPanel } from "./view.ts";

export default widget("sw-panel-widget", (client) => ({ composer: new Composer(client), tree: new Tree() }), mountPanel);
