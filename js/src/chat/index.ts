import "./style.css";
import { widget } from "../lib/widget.ts";
import { Composer } from "./composer.ts";
import { mountChat } from "./view.ts";

export default widget("sw-chat-widget", (client) => new Composer(client), mountChat);
