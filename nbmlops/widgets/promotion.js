// The browser's part of a promotion panel, after what panel.js has for every panel.

const FIELDS = "input, textarea, select";

function number(version) {
  return version === null || version === undefined ? "no version" : `version ${version}`;
}

function heading(text) {
  return make("h4", { class: "heading" }, text);
}

function list(lines, attributes = {}) {
  return make("ul", attributes, ...lines.map((line) => make("li", {}, line)));
}

let fields = 0;

// A field below its label; the label is beside it and not around it, so that what a choice offers is no part of its name.
function labelled(text, control) {
  fields += 1;
  control.id = `nbmlops-field-${Date.now()}-${fields}`;
  return make("div", { class: "field" }, make("label", { for: control.id }, text), control);
}

// A table as the kernel tells it; `states` marks a cell of each row by what it says.
function tableOf(table, label, states = [], kind = "") {
  const side = (column) => (table.numbers.includes(column) ? "number" : "");
  const head = make("tr", {}, ...table.header.map((name, column) => make("th", { scope: "col", class: side(column) }, name)));
  const cell = (text, column) => make(column ? "td" : "th", { class: side(column), scope: column ? null : "row" }, text);
  const rows = table.rows.map((row, at) => make("tr", { "data-state": states[at] || null }, ...row.map(cell)));
  const made = make("table", { "aria-label": label }, make("thead", {}, head), make("tbody", {}, ...rows));
  return make("div", { class: `boxed ${kind}`, tabindex: "0", role: "region", "aria-label": `table of ${label}` }, made);
}

function blockOf(block) {
  const lines = block.rows.map((row) => row[0]);
  if (block.kind === "table") return tableOf({ header: block.rows[0], rows: block.rows.slice(1), numbers: [] }, "the model card");
  if (block.kind === "list") return list(lines, { class: "dotted" });
  if (block.kind === "code") return make("pre", {}, lines.join("\n"));
  return make(block.kind === "heading" ? "h5" : "p", {}, lines[0]);
}

class PromotionPanel extends LivePanel {
  shows() {
    return { model: () => this.showModel(), answer: () => this.showAnswer() };
  }

  get busyText() {
    const asked = this.asked ? " What you have asked for is done when it is free, if all is still as you have seen it." : "";
    return `The kernel does not answer: a cell runs in it, or it is gone.${asked}`;
  }

  get goneText() {
    return "The kernel that asked the registry is gone: run the cell again.";
  }

  build() {
    this.drawn = new Map(); // what each part shows, so that a part that is the same keeps its focus and its place
    this.mark = "";
    this.title = make("strong", { class: "title" });
    this.stands = make("span", { class: "stands" });
    this.links = make("span", { class: "links" });
    this.refresh = button("Refresh", () => this.ask({ kind: "refresh" }), { class: "needs-kernel" });
    this.note = make("div", { class: "note", role: "status", "aria-live": "polite" });
    this.error = make("div", { class: "error", role: "alert" });
    this.notes = make("ul", { class: "notes" });
    this.version = make("select", { class: "version" });
    this.alias = make("select", { class: "alias" });
    this.more = make("span", { class: "quiet" });
    this.evidence = make("div", { class: "evidence" });
    this.reason = make("textarea", { rows: "2", maxlength: "2000", required: true, class: "reason" });
    this.override = make("textarea", { rows: "2", maxlength: "2000", class: "override" });
    this.approver = make("input", { type: "text", maxlength: "200", class: "approver", autocomplete: "off" });
    this.promote = button("Promote …", () => this.confirm("promote"), { class: "needs-kernel promote" });
    this.back = button("Roll back …", () => this.confirm("rollback"), { class: "needs-kernel back" });
    this.hint = make("span", { class: "quiet hint", id: `nbmlops-hint-${Math.random().toString(36).slice(2)}` });
    this.promote.setAttribute("aria-describedby", this.hint.id);
    this.back.setAttribute("aria-describedby", this.hint.id);
    this.overriding = make("details", { class: "overriding" }, make("summary", {}, "Override: promote although something speaks against it"),
      labelled("Override because (goes into the log)", this.override));
    this.approving = make("details", {}, make("summary", {}, "Second person"),
      labelled("Approved by (where the project asks for one)", this.approver));
    this.fields = make("fieldset", {},
      make("div", { class: "choose" },
        labelled("Version", this.version), labelled("Alias", this.alias), this.more));
    this.form = make("fieldset", { class: "form" },
      labelled("Reason (required, goes into the log)", this.reason),
      this.overriding, this.approving,
      make("div", { class: "do" }, this.promote, this.back, this.hint));
    this.buildQuestion();
    this.progress = make("progress", { "aria-label": "asking the registry", hidden: true });
    this.answer = make("div", { class: "answer", role: "status", "aria-live": "polite", tabindex: "-1" });
    this.log = make("div", { class: "log" });
    this.history = make("div", { class: "history" });
    this.root.append(
      make("div", { class: "bar" }, this.title, this.stands, make("span", { class: "actions" }, this.links, this.refresh)),
      this.note, this.error, this.notes, this.fields, this.evidence, this.form, this.question, this.progress, this.answer,
      heading("History"), this.log, this.history,
    );
    for (const field of this.root.querySelectorAll(FIELDS)) this.keep(field);
    this.version.addEventListener("change", () => this.showChosen());
    this.alias.addEventListener("change", () => this.showButtons());
    for (const field of [this.reason, this.override]) field.addEventListener("input", () => this.showButtons());
  }

  buildQuestion() {
    this.asks = make("strong", { class: "asks", id: `${this.hint.id}-asks` });
    this.what = make("ul", { class: "what", id: `${this.hint.id}-what` });
    this.sure = button("", () => this.go(), { class: "needs-kernel sure" });
    const cancel = button("Cancel", () => this.cancel());
    const told = { "aria-labelledby": this.asks.id, "aria-describedby": this.what.id };
    this.question = make("div", { class: "question", role: "group", tabindex: "-1", hidden: true, ...told },
      this.asks, this.what, make("div", { class: "do" }, this.sure, cancel));
    this.question.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.cancel();
    });
  }

  // What is typed into a field is no shortcut of the notebook's: Shift+Enter runs no cell, and two D delete none.
  keep(field) {
    field.setAttribute("data-lm-suppress-shortcuts", "true");
    field.addEventListener("keydown", (event) => event.stopPropagation());
  }

  // A part is made anew only if what it shows has changed.
  draw(name, told, make) {
    const text = JSON.stringify(told);
    if (this.drawn.get(name) === text) return;
    this.drawn.set(name, text);
    make();
  }

  // how the model stands

  get told() {
    return this.model.get("model");
  }

  get chosen() {
    return this.told.candidates.find((item) => String(item.version) === this.version.value) || null;
  }

  get meant() {
    return this.told.aliases.find((item) => item.name === this.alias.value) || null;
  }

  showModel() {
    const told = this.told;
    this.root.setAttribute("aria-label", `Model ${told.name}`);
    say(this.title, told.name);
    say(this.stands, told.stands);
    say(this.error, told.broken ? told.log : "");
    this.draw("links", told.links, () => this.links.replaceChildren(...told.links.map(linkOf)));
    this.draw("notes", told.notes, () => this.notes.replaceChildren(...told.notes.map((line) => make("li", {}, `! ${line}`))));
    this.options(this.version, told.candidates.map((item) => [String(item.version), item.said]), String(told.first));
    this.options(this.alias, told.aliases.map((item) => [item.name, `${item.name} (${number(item.version)} now)`]));
    say(this.more, told.candidatesMore ? `and ${told.candidatesMore} older ones without an alias` : "");
    say(this.log, told.broken ? "" : told.log);
    this.draw("history", [told.history, told.historyMore], () => {
      const more = told.historyMore ? [make("p", { class: "quiet" }, `and ${told.historyMore} older entries`)] : [];
      const table = tableOf(told.history, "what was done, the newest first", [], "log-table");
      this.history.replaceChildren(...(told.history.rows.length ? [table, ...more] : []));
    });
    this.showChosen();
    if (this.act) this.restate();
  }

  options(select, pairs, first) {
    this.draw(select.className, pairs, () => {
      const before = select.value;
      select.replaceChildren(...pairs.map(([value, label]) => make("option", { value }, label)));
      const wanted = pairs.some(([value]) => value === before) ? before : first;
      if (wanted !== undefined) select.value = wanted;
    });
  }

  showChosen() {
    const item = this.chosen;
    this.draw("evidence", item, () => this.evidence.replaceChildren(...(item ? this.evidenceOf(item) : [])));
    this.showButtons();
  }

  evidenceOf(item) {
    const parts = [];
    const refused = item.against.length > 0;
    const verdict = refused ? `✗ version ${item.version} is refused` : `✓ nothing speaks against version ${item.version}`;
    parts.push(make("div", { class: `verdict ${refused ? "refused" : "passed"}` }, make("strong", {}, verdict), ` · gates: ${item.gatesSaid}`, list(item.against)));
    const pair = make("div", { class: "pair" });
    if (item.metrics.rows.length) pair.append(make("div", {}, heading("Metrics"), tableOf(item.metrics, "metrics", [], "metrics")));
    if (item.gates.rows.length) pair.append(make("div", {}, heading("Gates"), tableOf(item.gates, "gates", item.gates.states, "gates")));
    parts.push(pair);
    const places = item.places.map(([name, text]) => make("li", {}, `${name}: `, codeBox(text, `the ${name}`)));
    const links = item.links.map((link) => make("li", {}, linkOf(link)));
    const copied = new Set(item.places.map(([name]) => name));
    const facts = item.facts.filter(([name]) => !copied.has(name)).map(([name, text]) => make("li", {}, `${name}: ${text}`));
    parts.push(make("details", {}, make("summary", {}, "Run, notebook and MLflow"), make("ul", { class: "facts" }, ...places, ...links, ...facts)));
    if (item.card.length) parts.push(make("details", {}, make("summary", {}, "Model card"), make("div", { class: "card" }, ...item.card.map(blockOf))));
    return parts;
  }

  // the buttons

  get refused() {
    return Boolean(this.chosen && this.chosen.against.length);
  }

  showButtons() {
    const item = this.chosen;
    const alias = this.meant;
    const reason = this.reason.value.trim();
    const asked = Boolean(this.asked) || this.waits;
    this.overriding.hidden = !this.refused;
    const same = Boolean(item && alias && alias.version === item.version);
    const unstated = this.refused && !this.override.value.trim();
    this.turn(this.promote, !item || !alias || !reason || same || unstated || asked);
    this.turn(this.back, !alias || alias.back === null || !reason || asked);
    this.turn(this.refresh, asked);
    this.fields.disabled = this.form.disabled = Boolean(this.act) || asked;
    say(this.hint, asked || this.act ? "" : this.hintOf(item, alias, { reason, same, unstated }));
  }

  hintOf(item, alias, { reason, same, unstated }) {
    if (!this.awake) return "The buttons wait for the kernel.";
    if (!item) return "There is no version to promote.";
    const lines = [];
    if (!reason) lines.push("Write a reason first.");
    if (same) lines.push(`${alias.name} means version ${item.version} already.`);
    else if (unstated) lines.push(`Version ${item.version} is refused: only a stated override promotes it.`);
    const nothing = this.told.broken ? "Nothing is rolled back by a broken log." : `The log knows of nothing that ${alias && alias.name} could go back to.`;
    if (reason && alias && alias.back === null) lines.push(nothing);
    return lines.join(" ");
  }

  wake(awake) {
    super.wake(awake);
    if (awake) this.turn(this.sure, false);
    if (this.drawn.size) this.showButtons();
  }

  // the step that restates what will happen

  confirm(kind) {
    this.act = { kind, notice: "" };
    this.turn(this.sure, true); // until the kernel has said that it is free now
    this.ping();
    this.restate();
    this.question.focus();
  }

  restate() {
    const made = this.made(this.act.kind);
    if (!made) {
      this.cancel();
      return;
    }
    const told = JSON.stringify(made);
    if (this.act.told && this.act.told !== told) this.act.notice = "This has changed while you looked: read it again.";
    this.act.told = told;
    this.act.message = made.message;
    say(this.asks, made.asks);
    const lines = [...(this.act.notice ? [`! ${this.act.notice}`] : []), ...made.lines];
    this.what.replaceChildren(...lines.map((line) => make("li", {}, line)));
    say(this.sure, made.sure);
    this.question.hidden = false;
    this.showButtons();
  }

  // What an act would do, in words and as what the kernel is asked; nothing if it can do nothing.
  made(kind) {
    const alias = this.meant;
    if (!alias) return null;
    const reason = this.reason.value.trim();
    const approver = this.approver.value.trim();
    const last = [`Reason: ${reason}`, ...(approver ? [`Approved by: ${approver}`] : [])];
    const base = { kind, alias: alias.name, reason, approver, holder: alias.version, override: "" };
    const from = alias.version === null ? "is set" : `moves${kind === "rollback" ? " back" : ""} from version ${alias.version}`;
    const name = this.told.name;
    if (kind === "rollback") {
      if (alias.back === null) return null;
      const lines = [`Alias ${alias.name} ${from} to ${number(alias.back)} of ${name}.`, ...last];
      const message = { ...base, version: alias.back, digest: alias.digest };
      return { asks: `Roll ${alias.name} back?`, lines, sure: `Roll back to ${number(alias.back)}`, message };
    }
    const item = this.chosen;
    if (!item || alias.version === item.version) return null;
    const override = this.refused ? this.override.value.trim() : "";
    const lines = [`Alias ${alias.name} ${from} to version ${item.version} of ${name}.`, ...last, `Gates: ${item.gatesSaid}.`];
    if (this.refused) lines.push(...item.against.map((line) => `Against it: ${line}`), `Overridden because: ${override}`);
    return {
      asks: `Promote version ${item.version} to ${alias.name}?`, lines, sure: `Promote version ${item.version}${override ? " all the same" : ""}`,
      message: { ...base, version: item.version, digest: item.digest, override },
    };
  }

  cancel() {
    const opener = this.act && this.act.kind === "rollback" ? this.back : this.promote;
    this.closeQuestion();
    this.showButtons();
    (opener.disabled ? this.reason : opener).focus();
  }

  closeQuestion() {
    this.act = null;
    this.question.hidden = true;
  }

  go() {
    const { message } = this.act;
    this.closeQuestion();
    this.ask(message);
    this.answer.focus();
  }

  // what the kernel is asked, and what it answers

  get waits() {
    return (this.model.get("answer") || {}).state === "wait";
  }

  ask(message) {
    this.mark = `${Date.now()}-${Math.random()}`;
    this.asked = message.kind;
    this.progress.hidden = false;
    this.answer.dataset.state = "wait";
    say(this.answer, "asking the kernel …");
    this.send({ ...message, id: this.mark });
    if (this.gone) {
      this.asked = null;
      this.progress.hidden = true;
      say(this.answer, "");
    }
    this.showButtons();
  }

  showAnswer() {
    const answer = this.model.get("answer") || {};
    if (!answer.state) return;
    const own = answer.id === this.mark;
    this.answered();
    if (answer.state !== "wait" && own) this.asked = null;
    this.progress.hidden = !this.waits && !this.asked;
    this.answer.dataset.state = answer.state;
    const mark = { done: "✓", failed: "✗", moved: "!", wait: "▶" }[answer.state] || "";
    say(this.answer, `${mark} ${answer.text}`);
    if (own && answer.state === "done" && answer.kind !== "refresh") this.clear();
    this.showButtons();
    if (own && answer.state === "moved") this.askAgain(answer.kind);
  }

  clear() {
    for (const field of [this.reason, this.override, this.approver]) field.value = "";
    this.overriding.open = false;
  }

  askAgain(kind) {
    if (!this.made(kind)) return;
    if (kind === "promote" && this.refused && !this.override.value.trim()) return;
    this.act = { kind, notice: "It is not what you have seen any more: read it again." };
    this.restate();
    this.question.focus();
  }
}

export default rendering("promotion", PromotionPanel);
