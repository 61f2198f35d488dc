import "./style.css";
import { Client } from "../lib/client.ts";
import { widget } from "../lib/widget.ts";
import { Tree } from "./tree.ts";
import { mountFiles } from "./view.ts";

export default widget("sw-files-widget", (model) => new Client(model), (client) => {
  const tree = new Tree();
  return (root) => mountFiles(root, client, tree).dispose;
});
