// Bundles the tests (they are TypeScript) and hands them to Node's own runner.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import * as esbuild from "esbuild";

const outdir = mkdtempSync("node_modules/.tests-");
try {
  const names = readdirSync("tests").filter((name) => name.endsWith(".test.ts"));
  await esbuild.build({
    entryPoints: names.map((name) => join("tests", name)),
    outdir,
    bundle: true,
    format: "esm",
    platform: "node",
    packages: "external",
    target: "node20",
    outExtension: { ".js": ".mjs" },
  });
  const files = names.map((name) => join(outdir, name.replace(/\.ts$/, ".mjs")));
  process.exitCode = spawnSync(process.execPath, ["--test", ...files], { stdio: "inherit" }).status ?? 1;
} finally {
  rmSync(outdir, { recursive: true });
}
