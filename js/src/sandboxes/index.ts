import "./style.css";
import { widget } from "../lib/widget.ts";
import { Link } from "./link.ts";
import { mountSandboxes } from "./view.ts";

export default widget("sw-boxes-widget", (model) => new Link(model), (link) => (root) => mountSandboxes(root, link));
