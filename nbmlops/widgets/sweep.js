// The browser's part of a sweep's panel, after what panel.js has for every panel.

const ROWS = 200; // shown until all are asked for

function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [[Math.floor(whole / 3600), "h"], [Math.floor(whole / 60) % 60, "min"], [whole % 60, "s"]];
  const first = parts.findIndex(([value]) => value);
  const told = parts.slice(first < 0 ? 2 : first).slice(0, 2);
  return told.filter(([value], position) => value || !position).map((part) => part.join(" ")).join(" ");
}

// Numbers before words, nothing last in either direction.
function compare(a, b, sign) {
  const empty = (key) => key === null || key === "";
  if (empty(a) || empty(b)) return empty(a) - empty(b);
  if (typeof a !== typeof b) return typeof a === "number" ? -sign : sign;
  return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
}

class SweepPanel extends LivePanel {
  constructor(model, root) {
    super(model, root);
    this.clock = setInterval(() => this.tick(), 1000);
  }

  shows() {
    return {
      head: () => this.showHead(),
      pictures: () => this.showPictures(),
      table: () => this.showTable(),
      answers: () => this.showAnswers(),
      stopping: () => this.showStop(),
    };
  }

  close() {
    super.close();
    clearInterval(this.clock);
  }

  get busyText() {
    return "The kernel does not answer: a cell runs in it, or it is gone. The sweep does not wait for it.";
  }

  get goneText() {
    return "The kernel that ran this sweep is gone: run the cell again to go on with it.";
  }

  noteOf(message) {
    return message.kind === "stop-failed" ? `It could not be stopped: ${message.text}` : "";
  }

  build() {
    this.rows = new Map(); // what is drawn of a trial, by its number
    this.told = new Map(); // what is known of it
    this.order = { column: 0, sign: -1 }; // the newest trial first
    this.all = false;
    this.asked = new Map();
    this.received = Date.now();
    this.title = make("strong", { class: "title" });
    this.looks = make("span", { class: "looks" });
    this.status = make("div", { role: "status", "aria-live": "polite", class: "status" });
    this.progress = make("progress", { "aria-label": "trials finished" });
    this.left = make("span", { class: "left" });
    this.links = make("span", { class: "links" });
    this.note = make("div", { class: "note", role: "status", "aria-live": "polite" });
    this.error = make("div", { class: "error", role: "alert" });
    this.stop = button("Stop", () => this.confirm(true), { class: "stop needs-kernel" });
    this.sure = button("Stop it", () => this.stopNow(), { class: "needs-kernel" });
    const back = button("Go on", () => this.confirm(false));
    this.question = make("span", { class: "question", role: "group", "aria-label": "Stop the sweep?", hidden: true }, "Stop the sweep? ", this.sure, back);
    this.question.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.confirm(false);
    });
    this.best = make("div", { class: "best" });
    this.bestLine = make("span", { class: "best-line" });
    this.bestButtons = make("span", { class: "buttons" });
    this.bestAnswer = make("div", { class: "answer", role: "status", "aria-live": "polite" });
    this.best.append(this.bestLine, this.bestButtons, this.bestAnswer);
    this.running = make("ul", { class: "running", "aria-label": "running trials" });
    this.pictures = make("div", { class: "pictures" });
    this.headings = make("tr");
    this.body = make("tbody");
    this.table = make("table", { "aria-label": "trials" }, make("thead", {}, this.headings), this.body);
    this.more = button("", () => {
      this.all = true;
      this.showTable();
    }, { class: "more", hidden: true });
    this.places = make("ul", { class: "facts" });
    this.about = make("ul", { class: "facts" });
    this.root.append(
      make("div", { class: "bar" }, this.title, this.looks, this.left, make("span", { class: "actions" }, this.links, this.stop, this.question)),
      this.progress, this.status, this.note, this.error, this.best, this.running, this.pictures,
      make("div", { class: "trials", tabindex: "0", role: "region", "aria-label": "table of trials" }, this.table), this.more, this.places,
      make("details", {}, make("summary", {}, "Space and sampler"), this.about),
    );
  }

  // the head

  showHead() {
    const head = this.model.get("head");
    this.received = Date.now();
    this.root.dataset.status = head.status;
    this.root.setAttribute("aria-label", `Sweep ${head.name}`);
    say(this.title, `Sweep ${head.name}`);
    say(this.looks, head.looks);
    say(this.status, head.progress);
    say(this.error, head.error);
    this.progress.max = Math.max(head.wanted, head.finished, 1);
    this.progress.value = head.finished;
    say(this.bestLine, head.best || (head.status === "running" ? "no trial is complete yet" : "no trial is complete"));
    this.showBest(head.bestTrial);
    this.showRunning(head);
    this.showLinks(head.links);
    for (const name of ["places", "about"]) {
      this[name].replaceChildren(...head[name].map(([label, text]) => make("li", {}, `${label}: ${text}`)));
    }
    this.showStop();
    this.tick();
  }

  showBest(number) {
    if (this.bestNumber === number) return;
    this.bestNumber = number;
    this.bestButtons.replaceChildren(...(number === null ? [] : this.buttons(number, true)));
    this.showAnswers();
  }

  showRunning(head) {
    const items = head.running.map((trial) => {
      const time = make("span", { class: "time" });
      time.dataset.seconds = trial.seconds;
      return make("li", {}, `▶ trial ${trial.number}, `, time, trial.parameters ? ` · ${trial.parameters}` : "");
    });
    if (head.runningMore) items.push(make("li", {}, `and ${head.runningMore} more`));
    this.running.replaceChildren(...items);
    this.running.hidden = !items.length;
  }

  showLinks(links) {
    const told = JSON.stringify(links);
    if (told === this.toldLinks) return; // a focused link would lose its focus
    this.toldLinks = told;
    this.links.replaceChildren(...links.map(linkOf));
  }

  tick() {
    if (this.gone) return;
    const head = this.model.get("head");
    const since = (Date.now() - this.received) / 1000;
    const left = head.left === null || head.status !== "running" ? "" : `about ${duration(Math.max(1, head.left - since))} left`;
    say(this.left, left);
    for (const node of this.running.querySelectorAll(".time")) say(node, duration(Number(node.dataset.seconds) + since));
  }

  // Stop

  confirm(ask) {
    this.asking = ask;
    this.showStop();
    (ask ? this.sure : this.stop).focus();
  }

  stopNow() {
    this.asking = false;
    this.askedToStop = true;
    this.showStop();
    this.status.tabIndex = -1;
    this.status.focus();
    this.send({ kind: "stop" });
  }

  showStop() {
    const head = this.model.get("head");
    const running = head.status === "running";
    if (this.model.get("stopping")) {
      this.stopping = true;
      this.askedToStop = false;
      this.answered();
    } else if (this.stopping) {
      this.stopping = false;
    }
    if (!running) this.askedToStop = false;
    const stopping = running && (this.stopping || this.askedToStop);
    this.stop.hidden = !running || Boolean(this.asking);
    this.question.hidden = !running || !this.asking;
    say(this.stop, stopping ? "stopping…" : "Stop");
    this.turn(this.stop, Boolean(stopping));
  }

  // pictures

  showPictures() {
    const pictures = this.model.get("pictures");
    for (const [position, picture] of pictures.entries()) {
      let image = this.pictures.children[position];
      if (!image) this.pictures.append((image = make("img")));
      if (image.src !== picture.src) image.src = picture.src;
      image.alt = picture.alt;
    }
    while (this.pictures.children.length > pictures.length) this.pictures.lastChild.remove();
  }

  // the table

  showTable() {
    const table = this.model.get("table");
    this.told = new Map(table.rows.map((row) => [row.number, row]));
    this.showHeadings(table);
    const { column, sign } = this.order;
    const sorted = [...table.rows].sort((a, b) => compare(a.keys[column], b.keys[column], sign) || a.number - b.number);
    const shown = this.all ? sorted : sorted.slice(0, ROWS);
    this.more.hidden = shown.length === sorted.length;
    say(this.more, `Show all ${sorted.length} trials`);
    const nodes = shown.flatMap((row) => this.rowOf(row, table));
    if (nodes.length !== this.body.children.length || nodes.some((node, position) => node !== this.body.children[position])) {
      const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
      this.body.replaceChildren(...nodes);
      if (focused && this.body.contains(focused)) focused.focus({ preventScroll: true });
    }
  }

  showHeadings(table) {
    const told = JSON.stringify(table.header);
    if (told !== this.toldHeader) {
      this.toldHeader = told;
      this.rows.clear();
      const names = table.header.map((name, column) => make("th", { scope: "col", class: this.side(table, column) }, button(name, () => this.sort(column))));
      this.headings.replaceChildren(...names, make("th", { scope: "col" }, "actions"));
    }
    for (const column of table.header.keys()) {
      const heading = this.headings.children[column];
      const sorted = column === this.order.column;
      heading.setAttribute("aria-sort", !sorted ? "none" : this.order.sign > 0 ? "ascending" : "descending");
    }
  }

  sort(column) {
    this.order = { column, sign: this.order.column === column ? -this.order.sign : 1 };
    this.showTable();
  }

  side(table, column) {
    return table.numbers.includes(column) ? "number" : "";
  }

  // A trial's row, and below it one for what the kernel has answered.
  rowOf(row, table) {
    let known = this.rows.get(row.number);
    if (!known) {
      const cells = row.cells.map((_, column) => make(column ? "td" : "th", { class: this.side(table, column), ...(column ? {} : { scope: "row" }) }));
      const buttons = this.buttons(row.number, row.ended);
      const answer = make("td", { colspan: table.header.length + 1 });
      known = { cells, buttons, answer, below: make("tr", { class: "answer" }, answer) };
      known.row = make("tr", { "data-trial": row.number }, ...cells, make("td", { class: "buttons" }, ...buttons));
      this.rows.set(row.number, known);
      this.showAnswer(row.number);
    }
    row.cells.forEach((text, column) => say(known.cells[column], text));
    known.row.classList.toggle("is-best", row.best);
    for (const node of known.buttons) this.turn(node, !row.ended || this.waits(row.number));
    return known.answered ? [known.row, known.below] : [known.row];
  }

  buttons(number, ended) {
    const made = [["run", "Run as notebook"], ["set", "Set as parameters"]].map(([kind, label]) =>
      button(label, () => this.ask(kind, number), { class: "needs-kernel", "aria-label": `${label}: trial ${number}` }),
    );
    for (const node of made) this.turn(node, !ended || this.waits(number));
    return made;
  }

  // what is asked of one trial

  ask(kind, number) {
    this.asked.set(String(number), { kind, state: "wait", text: "asked the kernel …", code: "" });
    this.showAnswers();
    this.send({ kind, number });
  }

  answerOf(number) {
    return this.asked.get(String(number)) || this.model.get("answers")[String(number)];
  }

  waits(number) {
    return (this.answerOf(number) || {}).state === "wait";
  }

  showAnswers() {
    const answers = this.model.get("answers");
    const told = JSON.stringify(answers);
    if (told !== this.toldAnswers) {
      if (this.toldAnswers !== undefined) {
        this.answered();
      }
      this.toldAnswers = told;
      this.asked.clear();
    }
    for (const number of this.rows.keys()) this.showAnswer(number);
    this.fill(this.bestAnswer, this.bestNumber);
    for (const node of this.bestButtons.children) this.turn(node, this.waits(this.bestNumber));
  }

  showAnswer(number) {
    const known = this.rows.get(number);
    known.answered = this.fill(known.answer, number);
    if (!known.answered) known.below.remove();
    else if (known.row.isConnected && known.row.nextSibling !== known.below) known.row.after(known.below);
    const row = this.told.get(number);
    for (const node of known.buttons) this.turn(node, !row || !row.ended || this.waits(number));
  }

  fill(node, number) {
    const answer = number === null || number === undefined ? undefined : this.answerOf(number);
    const told = JSON.stringify(answer || null);
    if (node.dataset.told === told) return Boolean(answer);
    node.dataset.told = told;
    node.replaceChildren();
    if (answer) {
      const mark = { done: "✓", failed: "✗", wait: "▶" }[answer.state] || "";
      node.append(make("span", { class: answer.state }, `${mark} trial ${number}: ${answer.text} `));
      if (answer.code) node.append(codeBox(answer.code, `the parameters of trial ${number}`));
    }
    return Boolean(answer);
  }
}

export default rendering("sweep", SweepPanel);
