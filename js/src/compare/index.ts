import "./style.css";
import { widget } from "../lib/widget.ts";
import { Link } from "./link.ts";
import { mountCompare } from "./view.ts";

export default widget("sw-compare-widget", (model) => new Link(model), (link) => (root) => mountCompare(root, link));
