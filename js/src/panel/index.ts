import "./style.css";
import { Client } from "../lib/client.ts";
import { widget } from "../lib/widget.ts";
import { Composer } from "../chat/composer.ts";
import { Tree } from "../files/tree.ts";
import { mountPanel } from "./view.ts";

export default widget("sw-panel-widget", (model) => new Client(model), (client) => {
  const [composer, tree] = [new Composer(client), new Tree()];
  return (root) => mountPanel(root, client, composer, tree);
});
