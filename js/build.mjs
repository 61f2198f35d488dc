// Builds one self-contained module and one style sheet per widget into the Python package.
import * as esbuild from "esbuild";

const watch = process.argv.includes("--watch");
const options = {
  entryPoints: Object.fromEntries(["chat", "compare", "files", "panel", "replay", "sandboxes", "search"].map((name) => [name, `src/${name}/index.ts`])),
  outdir: "../src/session_widgets/static",
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: !watch,
  sourcemap: watch ? "inline" : false,
  legalComments: "eof",
  charset: "utf8",
  define: { "process.env.NODE_ENV": '"production"' },
  logLevel: "info",
};

if (watch) await (await esbuild.context(options)).watch();
else await esbuild.build(options);
