// The live page. It trusts no snapshot for longer than a second by its own clock: a dead line, a dead
// panel or a dead network all end in NO SIGNAL.

import { element, replaceChildren, svg, text } from "./dom.js";
import { Stage } from "./stage.js";

const PANEL_GONE_MS = 800;
const LINE_GONE_MS = 900;
const TICK_MS = 100;
const COLOURS = { PASS: "pass", REVIEW: "review", REJECT: "reject", NO_VERDICT: "none" };
// A verdict has a shape of its own, for the colour-blind: circle, diamond, cross, empty square.
const SHAPES = {
  PASS: "M50 6a44 44 0 1 0 .1 0z M28 52l8-9 10 10 20-24 9 8-28 34z",
  REVIEW: "M50 3L97 50 50 97 3 50z M45 24h10v34H45z M45 66h10v10H45z",
  REJECT: "M18 4L50 36 82 4 96 18 64 50 96 82 82 96 50 64 18 96 4 82 36 50 4 18z",
  NO_VERDICT: "M6 6h88v88H6z M18 18v64h64V18z",
  FAULT: "M50 4L98 92H2z M45 34h10v30H45z M45 71h10v10H45z",
  NO_SIGNAL: "M6 44h88v12H6z",
};

const settings = JSON.parse(document.getElementById("data").textContent);
const words = settings.texts;
const find = (id) => document.getElementById(id);
const stage = new Stage(find("canvas"), settings);

let snapshot = null;
let arrived = -Infinity;
let frozen = null;
let lastSeen = null;

function connect() {
  const source = new EventSource(settings.events);
  source.addEventListener("snapshot", (event) => {
    snapshot = JSON.parse(event.data);
    arrived = performance.now();
    freezeOnReject();
    showNumbers();
    show();
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) reconnect();
  });
}

async function reconnect() {
  try {
    const answer = await fetch(location.href, { redirect: "manual" });
    if (answer.type === "opaqueredirect") return location.reload(); // the session has ended
    return void setTimeout(connect, 1000);
  } catch {
    setTimeout(reconnect, 1000);
  }
}

function freezeOnReject() {
  const parts = snapshot.parts;
  const seen = parts.findIndex((part) => part.trigger === lastSeen);
  const fresh = lastSeen === null ? [] : parts.slice(0, seen < 0 ? parts.length : seen);
  lastSeen = parts.length ? parts[0].trigger : lastSeen;
  if (!find("freeze").checked || frozen) return;
  const rejected = fresh.findLast((part) => part.verdict === "REJECT");
  if (rejected) freeze(rejected);
}

function freeze(part) {
  frozen = { part, at: arrived };
}

function silence() {
  const old = performance.now() - arrived;
  if (old > PANEL_GONE_MS) return words.panel_gone;
  if (!snapshot.signal) return snapshot.silence || words.no_signal_why;
  return snapshot.heard_ms + old > LINE_GONE_MS ? words.no_signal_why : "";
}

function show() {
  const silent = silence();
  const faults = snapshot && !silent ? faultsOf(snapshot) : [];
  const part = frozen ? frozen.part : snapshot?.parts[0];
  document.body.classList.toggle("no-signal", Boolean(silent));
  if (silent) showWord("NO_SIGNAL", words.no_signal, silent);
  else if (faults.length) showWord("FAULT", words.fault, faults.join("; "));
  else if (!part) showWord("NO_VERDICT", words.waiting, "");
  else showWord(part.verdict, settings.verdicts[part.verdict], part.message, Boolean(frozen));
  find("back").hidden = !frozen;
  if (part) showPart(part, frozen ? frozen.at : arrived);
}

// Without new records the last verdict would be a stale one.
function faultsOf({ troubles, records_problem: unread }) {
  const grave = troubles.filter(({ kind }) => kind === "fault" || kind === "records");
  return [...grave.map(({ message }) => message), unread].filter(Boolean);
}

function showWord(kind, word, why, isFrozen = false) {
  const card = find("verdict");
  const before = card.dataset.kind;
  card.dataset.kind = kind;
  card.classList.toggle("frozen", isFrozen);
  if (before !== kind) find("shape-path").setAttribute("d", SHAPES[kind]);
  text(find("word"), word);
  text(find("why"), isFrozen ? [words.frozen, why].filter(Boolean).join(" · ") : why);
}

function showPart(part, at) {
  text(find("part"), part.part ?? part.trigger);
  text(find("recipe"), part.recipe_number ? `${part.recipe_number} ${part.recipe}` : part.recipe);
  text(find("age"), duration(part.age_ms + performance.now() - at));
  text(find("score"), part.score === null ? "–" : `${digits(part.score)} / ${digits(part.threshold)}`);
  showBar(part);
  stage.show(part, find("show-outline").checked, find("show-heat").checked, find("opacity").value / 100);
  find("no-image").hidden = stage.isCurrent;
  find("canvas").hidden = !stage.isCurrent;
  find("canvas").classList.toggle("old", stage.trigger !== part.trigger);
}

function duration(milliseconds) {
  const seconds = Math.max(0, milliseconds / 1000);
  if (seconds < 10) return words.seconds.replace("{count}", seconds.toFixed(1));
  if (seconds < 120) return words.seconds.replace("{count}", Math.round(seconds));
  if (seconds < 7200) return words.minutes.replace("{count}", Math.round(seconds / 60));
  return words.hours.replace("{count}", Math.round(seconds / 3600));
}

function digits(value) {
  return value === null ? "–" : Number(value.toPrecision(4)).toString();
}

let barOf = null;
function showBar(part) {
  if (barOf === part.trigger) return;
  barOf = part.trigger;
  const bar = find("bar");
  if (part.score === null || part.threshold === null) return replaceChildren(bar);
  const review = part.threshold_review;
  const low = Math.min(0, part.score, part.threshold);
  const high = Math.max(part.score, part.threshold + (part.threshold - low) * 0.5, low + 1e-9);
  const x = (value) => 4 + (392 * (value - low)) / (high - low);
  const marks = [[part.threshold, words.reject_at, "reject"]];
  if (review !== null) marks.push([review, words.review_at, "review"]);
  replaceChildren(
    bar,
    svg("rect", { x: 4, y: 16, width: 392, height: 12, class: "track" }),
    svg("rect", { x: 4, y: 16, width: Math.max(2, x(part.score) - 4), height: 12, class: `fill-${COLOURS[part.verdict]}` }),
    ...marks.flatMap(([value, name, kind]) => [
      svg("line", { x1: x(value), x2: x(value), y1: 10, y2: 34, class: `mark-${kind}` }),
      svg("text", { x: x(value), y: kind === "reject" ? 9 : 43, "text-anchor": x(value) > 330 ? "end" : "middle" }, name),
    ]),
  );
}

function showNumbers() {
  const shift = snapshot.shift;
  if (shift) {
    const { PASS: pass, REVIEW: review, REJECT: reject } = shift.verdicts;
    for (const [verdict, count] of Object.entries(shift.verdicts)) text(find(`count-${verdict}`), count);
    text(find("shift"), shift.name);
    const judged = pass + review + reject;
    text(find("yield"), judged ? `${((100 * pass) / judged).toFixed(1)} %` : "–");
    const causes = Object.entries(shift.causes).map(([cause, count]) => `${count} ${cause}`);
    find("causes").hidden = !causes.length;
    text(find("causes"), `${words.causes}: ${causes.join(", ")}`);
  }
  showTrend();
  showState();
  showStrip();
}

let trendOf = null;
function showTrend() {
  const newest = snapshot.parts[0];
  if (!newest || trendOf === newest.trigger) return;
  trendOf = newest.trigger;
  const scores = snapshot.trend.filter(([score]) => score !== null);
  if (!scores.length) return;
  const values = scores.map(([score]) => score);
  const limits = [newest.threshold, newest.threshold_review].filter((value) => value !== null);
  const low = Math.min(...values, ...limits), high = Math.max(...values, ...limits, low + 1e-9);
  const y = (value) => 86 - (82 * (value - low)) / (high - low);
  const x = (place) => 4 + (392 * place) / Math.max(1, scores.length - 1);
  replaceChildren(
    find("trend"),
    ...limits.map((value, place) => svg("line", { x1: 0, x2: 400, y1: y(value), y2: y(value), class: place ? "mark-review" : "mark-reject" })),
    ...scores.map(([score, verdict], place) => svg("circle", { cx: x(place), cy: y(score), r: 2.5, class: `fill-${COLOURS[verdict]}` })),
  );
}

function showState() {
  const state = snapshot.state;
  const pipeline = state.pipeline;
  const lines = [];
  if (pipeline) {
    lines.push([words.camera, !state.faults.length]);
    for (const [name, output] of Object.entries(pipeline.outputs)) lines.push([`${words.outputs}: ${name}`, output.is_up]);
    for (const [name, isUp] of Object.entries(state.records?.outboxes_up ?? {})) lines.push([`${words.outputs}: ${name}`, isUp]);
  }
  lines.push([words.disk, !snapshot.records_problem && !state.records?.failure]);
  replaceChildren(
    find("state"), // "Alarms" beside it says why
    ...lines.map(([name, works]) => element("li", { class: works ? "good" : "bad" }, `${works ? "✔" : "✖"} ${name}`)),
  );
  const troubles = snapshot.troubles;
  replaceChildren(
    find("alarms"),
    ...(troubles.length ? troubles.map(described) : [element("li", { class: "good" }, `✔ ${words.no_alarms}`)]),
  );
}

function described({ kind, message, age_ms: age }) {
  const since = settings.troubles.age.replace("{duration}", duration(age));
  return element(
    "li",
    {},
    element("strong", { class: "bad" }, `✖ ${settings.troubles[kind]} `),
    `${message} `,
    element("span", { class: "faint" }, `${settings.todo[kind]} ${since}`),
  );
}

let stripOf = "";
function showStrip() {
  const key = snapshot.parts.map((part) => part.trigger + part.pictures.length).join();
  if (key === stripOf) return;
  stripOf = key;
  replaceChildren(
    find("strip"),
    ...snapshot.parts.map((part) => {
      const address = stage.smallAddress(part);
      const picture = address ? element("img", { src: address, alt: "", loading: "lazy" }) : svg("svg", { viewBox: "0 0 100 100" }, svg("path", { d: SHAPES[part.verdict] }));
      const button = element("button", { type: "button", "data-kind": part.verdict, title: part.trigger }, picture, element("span", {}, settings.verdicts[part.verdict]));
      button.addEventListener("click", () => { freeze(part); show(); });
      return element("li", {}, button);
    }),
  );
}

find("back").addEventListener("click", () => { frozen = null; show(); });
for (const id of ["show-outline", "show-heat", "opacity"]) find(id).addEventListener("input", show);
setInterval(show, TICK_MS);
show();
connect();
