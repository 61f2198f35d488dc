import "./style.css";
import { Client } from "../lib/client.ts";
import { widget } from "../lib/widget.ts";
import { Composer } from "./composer.ts";
import { mountChat } from "./view.ts";

export default widget("sw-chat-widget", (model) => new Client(model), (client) => {
  const composer = new Composer(client);
  return (root) => mountChat(root, client, composer);
});
