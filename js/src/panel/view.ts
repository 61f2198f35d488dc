// Chat on the left, files on the right, with a divider for mouse, touch and arrow keys.
import type { Client } from "../lib/client.ts";
import type { Composer } from "../chat/composer.ts";
import { mountChat } from "../chat/view.ts";
import type { Tree } from "../files/tree.ts";
import { mountFiles } from "../files/view.ts";
import { element } from "../lib/dom.ts";

const [LEAST, MOST, STEP] = [0.25, 0.8, 0.02];

export function mountPanel(root: HTMLElement, client: Client, composer: Composer, tree: Tree): () => void {
  const { model } = client;
  const panel = element("div", "sw-panel", root);
  const tabs = element("div", "sw-tabs", panel, { role: "tablist" });
  const chat = element("div", "sw-pane sw-pane-chat", panel);
  const divider = element("div", "sw-divider", panel, {
    role: "separator", tabindex: "0", "aria-orientation": "vertical", "aria-label": "Width of the chat",
    "aria-valuemin": String(LEAST * 100), "aria-valuemax": String(MOST * 100),
  });
  const files = element("div", "sw-pane sw-pane-files", panel);

  const filesView = mountFiles(files, client, tree);
  const unmountChat = mountChat(chat, client, composer, (path) => {
    show("files");
    filesView.show(path);
  });

  for (const [name, words] of [["chat", "Chat"], ["files", "Files"]] as const) {
    const tab = element("button", "sw-tab", tabs, { type: "button", role: "tab", "data-name": name });
    tab.textContent = words;
    tab.addEventListener("click", () => show(name));
  }

  function show(name: "chat" | "files"): void {
    panel.dataset["tab"] = name;
    for (const tab of tabs.children) tab.setAttribute("aria-selected", String((tab as HTMLElement).dataset["name"] === name));
  }

  function place(share: number): void {
    const bounded = Math.min(MOST, Math.max(LEAST, share));
    panel.style.setProperty("--divider", String(bounded));
    divider.setAttribute("aria-valuenow", String(Math.round(bounded * 100)));
  }

  function keep(): void {
    model.set("divider", Number(panel.style.getPropertyValue("--divider")));
    try {
      model.save_changes();
    } catch {
      // the kernel is gone: the position lasts only as long as the page
    }
  }

  const unsubscribe = client.subscribe(() => {
    panel.dataset["waiting"] = String(client.transcript.pending.length + client.transcript.questions.length > 0);
  });
  const follow = () => place(Number(model.get("divider") ?? 0.62));
  model.on("change:divider", follow);
  follow();
  show("chat");

  divider.addEventListener("pointerdown", (event) => {
    divider.setPointerCapture(event.pointerId);
    divider.classList.add("sw-held");
    event.preventDefault();
  });
  divider.addEventListener("pointermove", (event) => {
    if (!divider.hasPointerCapture(event.pointerId)) return;
    const { left, width } = panel.getBoundingClientRect();
    if (width) place((event.clientX - left) / width);
  });
  const release = () => {
    if (!divider.classList.contains("sw-held")) return;
    divider.classList.remove("sw-held");
    keep();
  };
  divider.addEventListener("pointerup", release);
  divider.addEventListener("lostpointercapture", release);
  divider.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
    if (by === undefined) return;
    place(Number(panel.style.getPropertyValue("--divider")) + by);
    keep();
    event.preventDefault();
  });

  return () => {
    unsubscribe();
    model.off("change:divider", follow);
    unmountChat();
    filesView.dispose();
    panel.remove();
  };
}
