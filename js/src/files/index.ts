import "./style.css";
import { widget } from "../lib/widget.ts";
import { Tree } from "./tree.ts";
import { mountFiles } from "./view.ts";

export default widget("sw-files-widget", () => new Tree(), (root, client, tree) => mountFiles(root, client, tree).dispose);
