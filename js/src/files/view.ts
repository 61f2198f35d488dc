// The file browser: a tree that follows the agent, with a preview beside or below it.
import { html, nothing, render, type TemplateResult } from "lit-html";
import { repeat } from "lit-html/directives/repeat.js";
import type { Client } from "../lib/client.ts";
import { framed } from "../lib/dom.ts";
import { fileIcon, icon, spinner } from "../lib/icons.ts";
import { isFolder } from "../lib/home.ts";
import type { Listing } from "../lib/protocol.ts";
import { basename, bytes, line } from "../lib/text.ts";
import { Preview } from "./preview.ts";
import { download, upload } from "./transfer.ts";
import { isPlumbing, type Note, Tree, type TreeRow } from "./tree.ts";

export interface FilesView {
  show(path: string): void;
  dispose(): void;
}

export function mountFiles(root: HTMLElement, client: Client, tree: Tree): FilesView {
  const { model, rpc } = client;
  const redraw = framed(draw);
  const preview = new Preview(rpc, redraw);
  let focused = "";
  let confirming = "";
  let working: string | undefined;
  let complaint: string | undefined;
  let over: string | undefined;

  const box = document.createElement("div");
  box.className = "sw-files";
  root.append(box);
  const picker = document.createElement("input");
  picker.type = "file";
  picker.multiple = true;
  picker.addEventListener("change", () => void put([...(picker.files ?? [])], folderOf(focused)));

  const unsubscribe = client.subscribe(redraw);
  model.on("change:selected", redraw);
  draw();
  return { show, dispose };

  function dispose(): void {
    unsubscribe();
    model.off("change:selected", redraw);
    preview.dispose();
    box.remove();
  }

  function selected(): string {
    return String(model.get("selected") ?? "");
  }

  function show(path: string): void {
    for (let cut = path.indexOf("/"); cut > 0; cut = path.indexOf("/", cut + 1)) open(path.slice(0, cut));
    select(path);
  }

  function select(path: string): void {
    tree.seen(path);
    confirming = "";
    focused = path || focused;
    model.set("selected", path);
    try {
      model.save_changes();
    } catch {
      // the kernel is gone: the choice lasts only as long as the page
    }
    redraw();
  }

  function open(path: string): void {
    if (tree.open.has(path)) return;
    tree.open.add(path);
    void load(path);
  }

  async function load(path: string): Promise<void> {
    try {
      const { value } = await rpc.call<Listing>("list", { path });
      client.listings.set(path, value);
    } catch (error) {
      complaint = (error as Error).message;
    }
    client.changed();
  }

  function close(path: string): void {
    tree.open.delete(path);
    rpc.call("close", { path }).catch(() => undefined);
    redraw();
  }

  function toggle(path: string): void {
    if (tree.open.has(path)) close(path);
    else open(path);
    tree.seen(path);
    redraw();
  }

  function refresh(): void {
    complaint = undefined;
    void Promise.all(["", ...tree.open].map(load));
  }

  function folderOf(path: string): string {
    const entry = tree.entry(path);
    if (entry?.type === "directory") return path;
    return path.slice(0, Math.max(0, path.lastIndexOf("/")));
  }

  async function put(files: File[], folder: string): Promise<void> {
    await attempt(async () => {
      for (const file of files) {
        const path = folder ? `${folder}/${file.name}` : file.name;
        await upload(rpc, file, path, (done, total) => progress(`Uploading ${line(file.name, 60)}`, done, total));
      }
      picker.value = "";
      await load(folder);
    });
  }

  async function get(path: string): Promise<void> {
    await attempt(() => download(rpc, path, (done, total) => progress(`Downloading ${line(basename(path), 60)}`, done, total)));
  }

  async function remove(path: string): Promise<void> {
    await attempt(async () => {
      await rpc.call("delete", { path, recursive: tree.entry(path)?.type === "directory" });
      if (selected() === path || selected().startsWith(`${path}/`)) select("");
      await load(folderOf(path));
    });
  }

  function progress(words: string, done: number, total: number): void {
    working = total ? `${words}, ${Math.round((done / total) * 100)} %` : words;
    redraw();
  }

  async function attempt(work: () => Promise<void>): Promise<void> {
    complaint = undefined;
    confirming = "";
    try {
      await work();
    } catch (error) {
      complaint = (error as Error).message;
    }
    working = undefined;
    redraw();
  }

  function draw(): void {
    tree.sandboxRunning = client.session?.sandbox_running ?? true;
    tree.deleted = client.session?.status === "deleted";
    tree.update(client.listings);
    const path = selected();
    const entry = tree.entry(path);
    void preview.show(path, entry ? `${entry.modified} ${entry.size}` : "");
    if (path && entry) tree.seen(path);
    render(view(path), box);
  }

  function view(path: string): TemplateResult {
    return html`<div class="sw-tree-pane">
        <div class="sw-head">
          <span class="sw-title">Files</span>
          <span class="sw-tree-tools">
            <button type="button" class="sw-ghost" title="Upload files" aria-label="Upload files" @click=${() => picker.click()}>${icon("upload")}</button>
            <button type="button" class="sw-ghost" title="Refresh" aria-label="Refresh" @click=${refresh}>${icon("refresh")}</button>
          </span>
        </div>
        ${atRest()}
        ${working ? html`<div class="sw-strip" role="status">${spinner()}${working}</div>` : nothing}
        ${complaint ? html`<div class="sw-strip sw-bad" role="alert">${icon("alert")}<span>${line(complaint, 600)}</span>
            <button type="button" class="sw-ghost" aria-label="Dismiss" @click=${dismiss}>${icon("cross")}</button></div>` : nothing}
        <div class="sw-tree ${over === "" ? "sw-over" : ""}" role=${tree.rows().some((row) => "entry" in row) ? "tree" : "group"} aria-label="Files" @keydown=${keys}
          @dragover=${(event: DragEvent) => hover(event, "")} @dragleave=${leave} @drop=${(event: DragEvent) => drop(event, "")}>
          ${repeat(tree.rows(), (row) => ("entry" in row ? row.entry.path : `${row.path}\n`), (row) => ("entry" in row ? node(row) : note(row)))}
          ${tree.empty ? html`<div class="sw-note">No files yet. Files that the agent writes appear here; drop files to add your own.</div>` : nothing}
        </div>
      </div>
      ${path && !tree.deleted ? preview.view(actions(path)) : nothing}`;
  }

  /** The source of the files while no sandbox runs. */
  function atRest(): TemplateResult | typeof nothing {
    const { session } = client;
    if (!session || !tree.has("") || tree.deleted) return nothing;
    if (!isFolder(session)) {
      if (session.sandbox_running) return nothing;
      return html`<div class="sw-strip sw-dim">${icon("cloud")}<span>Read from the bucket; no sandbox is running.</span></div>`;
    }
    return session.status === "parked"
      ? html`<div class="sw-strip sw-dim">${icon("folder")}<span>Read from the folder; the sandbox is parked.</span></div>`
      : nothing;
  }

  function note({ level, path, words }: Note): TemplateResult {
    if (!path && !tree.has(path)) return html`<div class="sw-note">${words}</div>`;
    return html`<div class="sw-node sw-dim" style="--level: ${level}" role="none">${line(words)}</div>`;
  }

  function node({ entry, level, open, mark }: TreeRow): TemplateResult {
    const folder = entry.type === "directory";
    const reachable = focused ? focused === entry.path : tree.rows()[0] && "entry" in tree.rows()[0]! && (tree.rows()[0] as TreeRow).entry === entry;
    return html`<div class="sw-node ${over === entry.path ? "sw-over" : ""} ${isPlumbing(entry.path) ? "sw-plumbing" : entry.name.startsWith(".") ? "sw-dim" : ""}" style="--level: ${level}" role="treeitem" data-path=${entry.path}
        aria-level=${level} aria-expanded=${folder ? String(open) : nothing} aria-selected=${String(selected() === entry.path)}
        data-mark=${mark ?? nothing} tabindex=${reachable ? 0 : -1} @click=${() => press(entry.path, folder)} @focus=${() => (focused = entry.path)}
        @dragover=${folder ? (event: DragEvent) => hover(event, entry.path) : nothing} @drop=${folder ? (event: DragEvent) => drop(event, entry.path) : nothing}>
      ${folder ? icon("chevron", open ? "sw-chevron sw-turned" : "sw-chevron") : html`<span class="sw-gap"></span>`}
      ${icon(fileIcon(entry.name, entry.type))}
      <bdi class="sw-node-name" title=${line(entry.path)}>${line(entry.name, 200)}</bdi>
      ${mark ? html`<span class="sw-mark" title=${mark === "new" ? "New" : "Changed"}><span class="sw-hidden">${mark}</span></span>` : nothing}
      ${folder ? nothing : html`<span class="sw-size">${bytes(entry.size)}</span>`}
    </div>`;
  }

  function actions(path: string): TemplateResult {
    if (confirming === path) {
      return html`<span class="sw-confirm" role="alertdialog" aria-label="Delete this file?" @keydown=${escape}>Delete it?
        <button type="button" class="sw-button" @click=${() => remove(path)}>Delete</button>
        <button type="button" class="sw-button" data-testid="keep" @click=${() => ask("")}>Keep</button></span>`;
    }
    return html`<span class="sw-tree-tools">
      <button type="button" class="sw-ghost" title="Download" aria-label="Download" @click=${() => get(path)}>${icon("download")}</button>
      <button type="button" class="sw-ghost" title="Delete" aria-label="Delete" @click=${() => ask(path)}>${icon("delete")}</button>
      <button type="button" class="sw-ghost" title="Close" aria-label="Close the preview" @click=${() => select("")}>${icon("cross")}</button>
    </span>`;
  }

  function ask(path: string): void {
    confirming = path;
    redraw();
    if (path) requestAnimationFrame(() => box.querySelector<HTMLElement>("[data-testid='keep']")?.focus());
  }

  function escape(event: KeyboardEvent): void {
    if (event.key === "Escape") ask("");
  }

  function dismiss(): void {
    complaint = undefined;
    redraw();
  }

  function press(path: string, folder: boolean): void {
    focused = path;
    if (folder) toggle(path);
    else select(path);
  }

  function hover(event: DragEvent, path: string): void {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.stopPropagation();
    if (over !== path) {
      over = path;
      redraw();
    }
  }

  function leave(event: DragEvent): void {
    if (box.contains(event.relatedTarget as Node | null)) return;
    over = undefined;
    redraw();
  }

  function drop(event: DragEvent, path: string): void {
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    event.stopPropagation();
    over = undefined;
    void put([...event.dataTransfer.files], path);
  }

  /** Keys of the tree: arrows move and fold, Enter opens. */
  function keys(event: KeyboardEvent): void {
    const rows = tree.rows().filter((row): row is TreeRow => "entry" in row);
    const at = rows.findIndex((row) => row.entry.path === focused);
    const row = rows[at];
    const folder = row?.entry.type === "directory";
    let next = at;
    if (event.key === "ArrowDown") next = at + 1;
    else if (event.key === "ArrowUp") next = at - 1;
    else if (event.key === "Home") next = 0;
    else if (event.key === "End") next = rows.length - 1;
    else if (event.key === "ArrowRight" && row && folder && !row.open) toggle(row.entry.path);
    else if (event.key === "ArrowRight" && folder) next = at + 1;
    else if (event.key === "ArrowLeft" && row && folder && row.open) toggle(row.entry.path);
    else if (event.key === "ArrowLeft") next = rows.findLastIndex((other, i) => i < at && other.level < (row?.level ?? 0));
    else if ((event.key === "Enter" || event.key === " ") && row) press(row.entry.path, folder);
    else return;
    event.preventDefault();
    const target = rows[Math.max(0, Math.min(next, rows.length - 1))];
    if (!target || next === at) return;
    focused = target.entry.path;
    for (const element of box.querySelectorAll<HTMLElement>(".sw-node")) {
      if (element.dataset["path"] === focused) element.focus();
    }
    redraw();
  }
}
