// What the browser's part of every panel shares; the panel's own script follows it in the same module.
// Everything that comes from the kernel is set as text or as an attribute, never as markup.

const BUSY_MS = 2500; // after which an unanswered question means that a cell runs in the kernel

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") node.addEventListener("click", value);
    else if (value !== false && value !== null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

function button(label, onclick, attributes = {}) {
  return make("button", { type: "button", onclick, ...attributes }, label);
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text; // a live region repeats what is set anew
}

async function copy(code, told) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    say(told, "copied");
  } catch {
    // a page that was not fetched safely has no clipboard
    const range = document.createRange();
    range.selectNodeContents(code);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    say(told, document.execCommand("copy") ? "copied" : "selected: copy it with the keyboard");
  }
}

function codeBox(text, label) {
  const code = make("code", { tabindex: "0", "aria-label": label }, text);
  const told = make("span", { class: "told", role: "status" });
  return make("span", { class: "code" }, code, button("Copy", () => copy(code, told), { "aria-label": `Copy ${label}` }), told);
}

function linkOf(link) {
  if (/^https?:\/\//.test(link.href || "")) return make("a", { href: link.href, target: "_blank", rel: "noopener noreferrer" }, link.label);
  return make("span", { class: "command" }, `${link.label}: `, codeBox(link.command || "", `the command for ${link.label}`));
}

// A view of a panel. Its buttons of class `needs-kernel` are off until the kernel has answered.
class LivePanel {
  // A panel has `build`, `shows` (what to do when a trait of the model changes), `busyText` and `goneText`.
  constructor(model, root) {
    this.model = model;
    this.root = root;
    this.awake = false;
    this.build();
    this.listeners = { "msg:custom": (message) => this.heard(message), comm_live_update: () => this.hello() };
    const shows = Object.entries(this.shows());
    for (const [name, show] of shows) this.listeners[`change:${name}`] = show;
    for (const [name, listener] of Object.entries(this.listeners)) model.on(name, listener);
    for (const [, show] of shows) show();
    this.hello();
  }

  close() {
    for (const [name, listener] of Object.entries(this.listeners)) this.model.off(name, listener);
    clearTimeout(this.waiting);
  }

  hello() {
    this.wake(false);
    this.ping();
  }

  // Ask whether the kernel is free now.
  ping() {
    this.id = `${Date.now()}-${Math.random()}`;
    this.send({ kind: "hello", id: this.id });
  }

  send(message) {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => say(this.note, this.busyText), BUSY_MS);
    try {
      this.model.send(message);
    } catch {
      clearTimeout(this.waiting);
      this.gone = true;
      say(this.note, this.goneText);
    }
  }

  heard(message) {
    this.answered(this.noteOf(message));
    if (message.kind === "ready" && message.id === this.id) this.wake(true);
  }

  noteOf() {
    return "";
  }

  answered(note = "") {
    clearTimeout(this.waiting);
    say(this.note, note);
  }

  wake(awake) {
    this.awake = awake;
    this.root.classList.toggle("asleep", !awake);
    for (const node of this.root.querySelectorAll(".needs-kernel")) node.disabled = !awake || node.dataset.off === "yes";
  }

  turn(node, off) {
    node.dataset.off = off ? "yes" : "no";
    node.disabled = off || !this.awake;
  }
}

function rendering(kind, Panel) {
  return {
    render({ model, el }) {
      const root = document.createElement("section");
      root.className = `nbmlops-panel nbmlops-${kind}`;
      el.append(root);
      const panel = new Panel(model, root);
      return () => panel.close();
    },
  };
}
