import "./style.css";
import { widget } from "../lib/widget.ts";
import { Results } from "./results.ts";
import { mountSearch } from "./view.ts";

export default widget("sw-search-widget", (model) => new Results(model), (results) => (root) => mountSearch(root, results));
