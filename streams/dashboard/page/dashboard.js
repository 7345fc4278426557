// Draws the snapshots that /events sends twice a second. Every text goes in as text, never as markup.
"use strict";

const $ = (id) => document.getElementById(id);

function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

/** Set a text only where it differs, so that a screen reader does not hear it twice. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// --- Figures for people ---

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const TENTH = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const NONE = "–";

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const whole = (value) => (isNumber(value) ? WHOLE.format(value) : NONE);
const perSecond = (value) => (isNumber(value) ? (value < 10 ? TENTH : WHOLE).format(value) : NONE);
/** A time: its figure and its unit, in seconds from one second on. */
const time = (ms) => (!isNumber(ms) ? [NONE, "ms"] : ms < 1000 ? [(ms < 10 ? TENTH : WHOLE).format(ms), "ms"] : [(ms / 1000).toFixed(2), "s"]);
const inTime = (ms) => time(ms).join(" ");
const inTimes = (one, other) => (other < 1000 ? `${time(one)[0]}/${inTime(other)}` : `${(one / 1000).toFixed(2)}/${inTime(other)}`);
const inMib = (value) => (isNumber(value) ? `${WHOLE.format(value / 1048576)} MiB` : NONE);
const inPercent = (value) => (isNumber(value) ? `${WHOLE.format(value * 100)} %` : NONE);
const counted = (count, one, more = `${one}s`) => `${whole(count)} ${count === 1 ? one : more}`;
const short = (hash) => hash.slice(0, 12);
const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");

// --- Curves and bars ---

const SVG = "http://www.w3.org/2000/svg";
const CURVE_POINTS = 60;

function makeCurve() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "curve");
  svg.setAttribute("viewBox", `0 0 ${CURVE_POINTS - 1} 20`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const name of ["area", "line"]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    svg.append(path);
  }
  return svg;
}

/** Draw points, the newest at the right edge; a missing one leaves a gap. */
function drawCurve(svg, points) {
  const shown = points.slice(-CURVE_POINTS);
  const top = Math.max(1, ...shown.filter(isNumber)) * 1.08;
  const first = CURVE_POINTS - shown.length;
  let line = "";
  let area = "";
  let last = null;
  shown.forEach((value, index) => {
    const x = first + index;
    if (!isNumber(value)) {
      if (last !== null) area += `L${last} 20Z`;
      last = null;
      return;
    }
    const y = (20 - (value / top) * 20).toFixed(2);
    area += last === null ? `M${x} 20L${x} ${y}` : `L${x} ${y}`;
    line += `${last === null ? "M" : "L"}${x} ${y}`;
    last = x;
  });
  if (last !== null) area += `L${last} 20Z`;
  svg.querySelector(".line").setAttribute("d", line);
  svg.querySelector(".area").setAttribute("d", area);
}

const WORK = { verify: ["verify"], execute: ["execute"], store: ["store", "guard"], sign: ["sign"], other: ["decide", "publish", "read"] };
const WORK_NAMES = { verify: "verifying", execute: "executing", store: "storing", sign: "signing", other: "the rest" };

function drawBusy(bar, busy) {
  let total = 0;
  const said = [];
  for (const [name, parts] of Object.entries(WORK)) {
    const share = parts.reduce((sum, part) => sum + (busy[part] || 0), 0);
    total += share;
    bar.querySelector(`.${name}`).style.width = `${(share * 100).toFixed(1)}%`;
    if (share >= 0.005) said.push(`${WORK_NAMES[name]} ${inPercent(share)}`);
  }
  const text = `busy ${inPercent(Math.min(total, 1))}${said.length ? `: ${said.join(", ")}` : ""}`;
  if (bar.title !== text) {
    bar.title = text;
    bar.setAttribute("aria-label", text);
  }
  return Math.min(total, 1);
}

// --- The pipeline ---

const PARTY = { auditor: "Auditor", ledger: "Ledger", learner: "Learner", views: "Live views", client: "Clients" };
const CARDS = {
  order: ["auditor", "Order"],
  commit: ["ledger", "Commit"],
  validate: ["auditor", "Validate"],
  learn: ["learner", "Learn"],
  views: ["views", "Show"],
};
const EDGES = ["requests", "orders", "results", "decisions", "pieces", "learned"];

function makeFact(name) {
  const value = make("dd", "", NONE);
  const label = make("dt", "", name);
  return { row: make("div", "", label, value), label, value };
}

function makeCard(name, party, title) {
  const card = make("li", `card ${party}`);
  card.style.gridArea = name;
  card.dataset.stage = name;
  const state = make("span", "state", NONE);
  const rate = make("b", "", NONE);
  const unit = make("span", "", "");
  const facts = make("dl", "");
  card.append(make("header", "", make("span", "", PARTY[party]), state), make("h3", "", title));
  card.append(make("p", "rate", rate, " ", unit));
  return { card, state, rate, unit, facts };
}

function makeStage(name) {
  const [party, title] = CARDS[name];
  const parts = makeCard(name, party, title);
  parts.curve = makeCurve();
  parts.lag = makeFact("lag");
  parts.waited = makeFact("");
  parts.facts.append(parts.lag.row, parts.waited.row);
  parts.busy = make("div", "busy", ...Object.keys(WORK).map((work) => make("i", work)));
  parts.busy.setAttribute("role", "img");
  parts.card.append(parts.curve, parts.facts, parts.busy);
  return parts;
}

function makeEdge(name, className) {
  const rate = make("b", "", NONE);
  const arrow = make("div", "arrow");
  arrow.setAttribute("aria-hidden", "true");
  const edge = make("li", `edge ${className}`, make("span", "", name), arrow, rate);
  edge.style.gridArea = name;
  edge.dataset.topic = name;
  return { edge, rate };
}

const view = { stages: {}, edges: {}, replicas: [] };

function build() {
  for (const name of Object.keys(CARDS)) view.stages[name] = makeStage(name);
  for (const name of EDGES) {
    const direction = name === "decisions" ? "down" : name === "pieces" || name === "learned" ? "back" : "";
    view.edges[name] = makeEdge(name, direction);
  }
  view.edges.receipts = makeEdge("receipts", "receipts");
  view.client = makeCard("client", "client", "Request");
  view.client.rejected = makeFact("rejected");
  view.client.unreadable = makeFact("unreadable");
  view.client.facts.append(view.client.rejected.row, view.client.unreadable.row);
  view.client.curve = makeCurve();
  view.client.card.append(view.client.curve, view.client.facts);
  view.client.state.remove();
  const title = make("h3", "", "Disperse");
  view.replicaNote = make("span", "", "");
  view.replicaList = make("div", "replicas");
  const replicas = make("li", "card replicas-card", make("header", "", make("span", "", "Replicas"), view.replicaNote), title, view.replicaList);
  replicas.style.gridArea = "replicas";
  const e = view.edges;
  const s = view.stages;
  $("pipeline").append(
    e.receipts.edge, view.client.card, e.requests.edge, s.order.card, e.orders.edge, s.commit.card, e.results.edge,
    s.validate.card, e.decisions.edge, replicas, e.pieces.edge, s.learn.card, e.learned.edge, s.views.card,
  );
  const legend = make("p", "legend", "A stage's time: ");
  for (const work of Object.keys(WORK)) legend.append(make("span", "", make("i", work), WORK_NAMES[work]));
  legend.append("empty: waiting");
  $("pipeline").after(legend);
}

function drawState(node, state, exposed) {
  const text = exposed ? `exposed · ${state}` : state === "absent" ? "not heard of" : state;
  node.className = `state ${exposed ? "exposed" : state}`;
  say(node, text);
}

function drawStage(name, stage, exposed) {
  const parts = view.stages[name];
  parts.card.classList.toggle("is-exposed", exposed);
  parts.card.classList.toggle("is-absent", stage.state === "absent");
  drawState(parts.state, stage.state, exposed);
  say(parts.rate, perSecond(stage.state === "live" ? stage.rate : null));
  say(parts.unit, `${stage.unit}/s`);
  drawCurve(parts.curve, stage.curve);
  parts.lag.row.hidden = stage.lag === null;
  say(parts.lag.value, counted(stage.lag, "batch", "batches"));
  if (stage.waited) {
    say(parts.waited.label, stage.waited.label);
    say(parts.waited.value, isNumber(stage.waited.mean_ms) ? `${inTime(stage.waited.mean_ms)} mean` : NONE);
  }
  drawBusy(parts.busy, stage.busy);
}

/** Show how long something takes from its order: half of it, and nearly all of it. */
function drawQuantiles(name, done, p50, p99) {
  const fact = view.stages[name].waited;
  say(fact.label, `${done} p50/p99`);
  say(fact.value, isNumber(p50) ? inTimes(p50, p99) : NONE);
  fact.row.title = `from its order until it is ${done}: half within the first time, 99 of 100 within the second`;
}

function drawPipeline(now, exposedRoles) {
  for (const name of Object.keys(CARDS)) drawStage(name, now.stages[name], exposedRoles.has(now.stages[name].party));
  view.stages.views.busy.hidden = true;
  drawQuantiles("validate", "decided", now.decisions.p50_ms, now.decisions.p99_ms);
  drawQuantiles("learn", "learned", now.learner.learned_p50_ms, now.learner.learned_p99_ms);
  drawQuantiles("views", "shown", now.learner.shown_p50_ms, now.learner.shown_p99_ms);
  for (const [name, rate] of Object.entries({ ...now.flows, receipts: now.flows.decisions })) {
    const { edge, rate: node } = view.edges[name];
    say(node, isNumber(rate) ? `${perSecond(rate)}/s` : NONE);
    edge.classList.toggle("flows", isNumber(rate) && rate > 0.05);
  }
  say(view.client.rate, perSecond(now.requests.in_per_s));
  say(view.client.unit, "in/s");
  drawCurve(view.client.curve, now.requests.curve);
  say(view.client.rejected.value, whole(now.requests.rejected));
  say(view.client.unreadable.value, whole(now.requests.unreadable));
  drawReplicas(now);
}

function drawReplicas(now) {
  say(view.replicaNote, `any ${now.ledger.k} of ${now.ledger.n} pieces rebuild a block; ${now.ledger.b} may lie`);
  while (view.replicas.length < now.replicas.length) {
    const name = make("span", "name", "");
    const state = make("span", "state", "");
    const text = make("span", "small", "");
    const row = make("div", "replica", name, state, text);
    view.replicaList.append(row);
    view.replicas.push({ row, name, state, text });
  }
  now.replicas.forEach((replica, index) => {
    const parts = view.replicas[index];
    parts.row.className = `replica ${replica.blamed || ""}`;
    say(parts.name, `Replica ${replica.index}`);
    drawState(parts.state, replica.blamed === "suspected" ? `${replica.state} · blamed` : replica.state, replica.blamed === "exposed");
    const said = [`${perSecond(replica.batches_per_s)} batches/s`];
    if (isNumber(replica.bytes_per_s)) said.push(`${whole(replica.bytes_per_s / 1024)} KiB/s`);
    if (replica.lag !== null) said.push(`lag ${whole(replica.lag)}`);
    if (replica.blocks_behind) said.push(`pieces ${counted(replica.blocks_behind, "block")} behind`);
    if (replica.wrong_pieces) said.push(counted(replica.wrong_pieces, "wrong piece"));
    say(parts.text, said.join(" · "));
  });
}

// --- Who is exposed, who is suspected ---

const NAMED = { auditor: "The Auditor", ledger: "The Ledger", learner: "The learner", views: "The live views", broker: "The broker" };
const named = (who) => NAMED[who] || who.replace(/^replica[ -]/, "Replica ");
let exposedDrawn = "";

function drawExposed(evidence) {
  // A party's misdeed is graver than a replica's, of which some are expected to lie.
  const exposed = [...evidence.exposed].sort((one, other) => (one.role === "replica") - (other.role === "replica"));
  const box = $("exposed-box");
  box.classList.toggle("exposed", exposed.length > 0);
  const who = [...new Set(exposed.map((each) => named(each.culprit)))];
  say($("exposed-text"), who.length ? who.join(", ") : "nobody");
  const unproven = Object.values(evidence.unproven).reduce((sum, count) => sum + count, 0);
  const notes = [exposed.length ? "Proven by evidence verified here." : "Nothing was proven."];
  if (unproven) notes.push(`${whole(unproven)} unproven.`);
  if (evidence.waiting) notes.push(`${whole(evidence.waiting)} being verified.`);
  say($("evidence-text"), notes.join(" "));
  const key = JSON.stringify(exposed.map((each) => [each.culprit, each.kind, each.evidence]));
  if (key === exposedDrawn) return;
  exposedDrawn = key;
  $("exposed-banner").replaceChildren(...exposed.map(makeBanner));
}

function makeBanner(exposure) {
  const what = exposure.finding === "FALSE ACCUSER" ? "exposed as a false accuser" : "exposed";
  const banner = make("div", "banner exposed");
  banner.dataset.culprit = exposure.culprit;
  banner.dataset.kind = exposure.kind;
  banner.append(make("strong", "", `${named(exposure.culprit)} is ${what}`));
  banner.append(make("p", "", make("b", "", exposure.kind), `: ${exposure.explanation}.`));
  const where = make("p", "small", `Evidence `, make("span", "hash", short(exposure.evidence)));
  where.append(` of ${clock(exposure.at_ms)}, verified offline by this page's process. Anybody can verify it: `);
  where.append(make("code", "", "countersign evidence verify"));
  banner.append(where);
  return banner;
}

/** Messages that nobody could use: anybody may send them, so they make nobody suspected. */
function drawSkipped(skipped) {
  const list = $("skipped");
  while (list.children.length > skipped.length) list.lastChild.remove();
  while (list.children.length < skipped.length) list.append(make("li", "told"));
  skipped.forEach((each, index) => say(list.children[index], `${each.topic}: ${each.text}`));
}

/** A process that halted says why by itself: that is told, and makes nobody suspected. */
function drawSuspected(suspected) {
  const who = [...new Set(suspected.filter((each) => each.kind !== "halt").map((each) => named(each.who)))];
  $("suspected-box").classList.toggle("suspected", who.length > 0);
  say($("suspected-text"), who.length ? (who.length > 3 ? `${who.length} of them` : who.join(", ")) : "nobody");
  const list = $("suspicions");
  while (list.children.length > suspected.length) list.lastChild.remove();
  while (list.children.length < suspected.length) list.append(make("li", ""));
  suspected.forEach((each, index) => {
    const item = list.children[index];
    item.className = each.kind === "halt" ? "told" : "";
    say(item, each.kind === "halt" ? `${named(each.who)} ${each.text}` : `${named(each.who)} · ${each.kind}: ${each.text}`);
  });
}

// --- Tables ---

function drawRows(table, rows) {
  const body = table.tBodies[0];
  while (body.rows.length > rows.length) body.lastChild.remove();
  while (body.rows.length < rows.length) body.append(make("tr", ""));
  rows.forEach((cells, index) => {
    const row = body.rows[index];
    while (row.cells.length < cells.length) row.append(make("td", ""));
    cells.forEach((cell, at) => (typeof cell === "function" ? cell(row.cells[at]) : say(row.cells[at], cell)));
  });
}

const number = (text) => (cell) => {
  cell.className = "number";
  say(cell, text);
};

const hash = (text) => (cell) => {
  cell.className = "hash";
  cell.title = text;
  say(cell, short(text));
};

let newestDrawn = -1;

function drawDecisions(decisions) {
  drawRows($("decisions"), decisions.newest.map((each) => [
    number(whole(each.sequence)), number(each.count ? whole(each.count) : "filling"), clock(each.ordered_at_ms),
    number(inTime(each.took_ms)), hash(each.statement),
  ]));
  if (decisions.sequence !== newestDrawn && newestDrawn >= 0) {
    const row = $("decisions").tBodies[0].rows[0];
    row.classList.remove("fresh");
    void row.offsetWidth;
    row.classList.add("fresh");
  }
  newestDrawn = decisions.sequence;
  const notes = [];
  if (decisions.newest.length === 0) notes.push("Nothing was decided yet.");
  if (decisions.skipped) notes.push(`${counted(decisions.skipped, "message")} skipped that both parties have not signed.`);
  if (decisions.conflicts) notes.push(`${counted(decisions.conflicts, "time")} another statement of a known sequence, doubly signed.`);
  say($("decisions-note"), notes.join(" "));
}

const bar = (share) => (cell) => {
  if (!cell.firstChild) cell.append(make("div", "bar", make("i", "")));
  cell.firstChild.firstChild.style.width = `${Math.min(100, (share || 0) * 100).toFixed(1)}%`;
};

const stateCell = (process) => (cell) => {
  if (!cell.firstChild) cell.append(make("span", "state"));
  drawState(cell.firstChild, process.state, false);
};

function drawProcesses(processes) {
  drawRows($("processes"), processes.map((process) => {
    const cpu = isNumber(process.cpu) ? process.cpu + (process.children_cpu || 0) : null;
    const memory = isNumber(process.rss_bytes) ? process.rss_bytes + (process.children_rss_bytes || 0) : null;
    return [process.role, stateCell(process), number(inPercent(cpu)), bar(cpu), number(inMib(memory)), number(process.instance)];
  }));
}

// --- The live views ---

function drawActivity(activity) {
  const box = $("activity");
  if (!activity) {
    say($("activity-note"), "not running");
    box.replaceChildren();
    return;
  }
  say($("activity-note"), `as of sequence ${whole(activity.as_of)}`);
  const list = make("div", "activity");
  list.append(make("h3", "", "versions written per namespace and minute"), makeNamespaces(activity.minutes));
  list.append(make("h3", "", "most active entities"), makeTop(activity.entities, (row) => row.entity, (row) => counted(row.requests, "request")));
  list.append(make("h3", "", "most written records"), makeTop(activity.records, (row) => `${row.namespace} / ${row.key}`, (row) => `version ${whole(row.version)}`));
  box.replaceChildren(list);
}

function makeNamespaces(rows) {
  const newest = Math.max(...rows.map((row) => row.minute_ms));
  const byName = new Map();
  for (const row of rows) {
    if (!byName.has(row.namespace)) byName.set(row.namespace, new Array(15).fill(0));
    const ago = Math.round((newest - row.minute_ms) / 60000);
    if (ago < 15) byName.get(row.namespace)[14 - ago] = row.writes;
  }
  const sum = (minutes) => minutes.reduce((total, count) => total + count, 0);
  const sorted = [...byName].sort((one, other) => sum(other[1]) - sum(one[1])).slice(0, 4);
  const box = make("div", "namespaces");
  for (const [name, minutes] of sorted) {
    const top = Math.max(1, ...minutes);
    const bars = make("div", "minutes", ...minutes.map((count) => {
      const column = make("i", "");
      column.style.height = `${((count / top) * 100).toFixed(0)}%`;
      return column;
    }));
    bars.setAttribute("aria-hidden", "true");
    box.append(make("div", "namespace", make("span", "cut", name), bars, make("span", "number", whole(minutes[14]))));
  }
  return box;
}

function makeTop(rows, name, count) {
  const table = make("table", "", make("tbody", ""));
  for (const row of rows.slice(0, 4)) {
    table.tBodies[0].append(make("tr", "", make("td", "cut", name(row)), make("td", "number", count(row))));
  }
  return table;
}

// --- All of it ---

let activityDrawn = "";

function draw(now) {
  const { ledger, decisions } = now;
  say($("facts"), `ledger ${short(ledger.id)} · epoch ${ledger.epoch} · ${ledger.n} replicas`);
  say($("rate"), perSecond(decisions.requests_per_s));
  drawCurve($("rate-curve"), decisions.curve);
  say($("sequence"), decisions.sequence < 0 ? NONE : whole(decisions.sequence));
  say($("decisions-rate"), `${perSecond(decisions.per_s)} batches/s`);
  const [p50, unit] = time(decisions.p50_ms);
  say($("p50"), p50);
  say($("p50-unit"), `${unit} p50`);
  say($("p99"), `${inTime(decisions.p99_ms)} p99`);
  say($("undecided"), whole(now.requests.undecided));
  say($("window"), `of ${now.requests.window} batches`);
  $("undecided-bar").style.width = `${Math.min(100, ((now.requests.undecided || 0) / now.requests.window) * 100)}%`;
  drawExposed(now.evidence);
  drawSuspected(now.suspected);
  drawSkipped(now.skipped);
  drawPipeline(now, new Set(now.evidence.exposed.map((each) => each.role)));
  drawDecisions(decisions);
  drawProcesses(now.processes);
  const activity = JSON.stringify(now.activity);
  if (activity !== activityDrawn) drawActivity(now.activity);
  activityDrawn = activity;
  document.title = `${now.evidence.exposed.length ? "EXPOSED · " : ""}${perSecond(decisions.requests_per_s)}/s · Countersign`;
}

// --- Connection and colours ---

let lastSeen = 0;

function connect() {
  const events = new EventSource("/events");
  events.onmessage = (event) => {
    const now = JSON.parse(event.data);
    lastSeen = now.now_ms;
    draw(now);
    document.body.classList.remove("lost");
    $("lost").hidden = true;
    $("connection-dot").className = "dot live";
    say($("connection"), clock(now.now_ms));
    document.body.dataset.drawn = "yes";
  };
  events.onerror = () => {
    document.body.classList.add("lost");
    $("lost").hidden = false;
    $("connection-dot").className = "dot";
    say($("connection"), "not connected");
    say($("lost"), lastSeen ? `The dashboard does not answer. What is shown is of ${clock(lastSeen)}.` : "The dashboard does not answer.");
    if (events.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  };
}

const THEMES = ["auto", "light", "dark"];

function setTheme(theme) {
  const words = { auto: "as the system has them", light: "light", dark: "dark" };
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  $("theme").textContent = `◐ ${theme}`;
  $("theme").setAttribute("aria-label", `Colours: ${words[theme]}`);
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // A browser that keeps nothing forgets this too.
  }
}

function savedTheme() {
  try {
    const saved = localStorage.getItem("theme");
    return THEMES.includes(saved) ? saved : "auto";
  } catch {
    return "auto";
  }
}

let theme = savedTheme();
setTheme(theme);
$("theme").addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  setTheme(theme);
});
build();
connect();
