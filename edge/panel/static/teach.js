// The page Teach: the newest part with its lights, collecting, import in steps, the end of a job.

import { text } from "./dom.js";

const PERIOD_MS = 1000;
const data = JSON.parse(document.getElementById("data").textContent);
const words = data.texts;
const at = (id) => document.getElementById(id);
const formOf = (end) => document.querySelector(`form[action$="/${end}"]`);
let shown = null; // the newest part, as the server judges it
let last = null; // the trigger id that was collected last

async function answerOf(response) {
  return response.type === "opaqueredirect" || response.redirected ? {} : response.json();
}

function light(name, state, said) {
  at(`${name}-light`).className = `light ${state}`;
  text(at(name), said);
}

function show(part) {
  shown = part;
  at("live-picture").src = part.picture;
  at("live-picture").hidden = false;
  at("live-silence").hidden = true;
  light("focus", part.focus, part.words.focus);
  light("exposure", part.exposure, part.words.exposure);
  at("near").hidden = !part.near;
  text(at("near"), part.words.near);
}

function beSilent(message) {
  shown = null;
  at("live-picture").hidden = true;
  at("live-silence").hidden = false;
  text(at("live-silence"), message);
  light("focus", "unknown", words.focus);
  light("exposure", "unknown", words.exposure);
  at("near").hidden = true;
}

async function look() {
  if (!document.hidden) {
    try {
      const response = await fetch(data.live, { redirect: "manual", headers: { Accept: "application/json" } });
      const answer = await answerOf(response);
      if (response.ok) show(answer);
      else beSilent(answer.message ?? words.no_signal);
      if (response.ok) await collectEach();
    } catch {
      beSilent(words.no_signal);
    }
  }
  setTimeout(look, PERIOD_MS);
}

async function send(form, extra = {}) {
  const body = new FormData(form);
  for (const [name, value] of Object.entries(extra)) body.set(name, value);
  const response = await fetch(form.action, {
    method: "POST", body: new URLSearchParams(body), redirect: "manual", headers: { Accept: "application/json" },
  });
  const answer = await answerOf(response);
  if (response.status >= 400) throw new Error(answer.message);
  return answer;
}

async function collect() {
  const part = shown;
  if (!part) return text(at("collect-result"), words.no_signal);
  last = part.trigger_id;
  try {
    await send(formOf("collect"), { trigger_id: part.trigger_id });
    text(at("collect-result"), words.is_collected);
  } catch (error) {
    text(at("collect-result"), error.message);
  }
}

async function collectEach() {
  const each = at("each");
  if (!each?.checked || shown.trigger_id === last) return;
  if (!formOf("collect").reportValidity()) return void (each.checked = false);
  const isFit = !shown.near && shown.focus !== "bad" && shown.exposure !== "bad";
  if (isFit) await collect();
}

formOf("collect")?.addEventListener("submit", (event) => {
  event.preventDefault();
  collect();
});

formOf("import")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector("button");
  const result = at("import-result");
  const sum = { added: 0, known: 0, refused: [] };
  button.disabled = true;
  try {
    for (let start = 0, left = true; left; ) {
      const step = await send(form, { start });
      sum.added += step.added;
      sum.known += step.known;
      sum.refused.push(...step.refused);
      left = step.left > 0 && step.next > start; // a step that moves nothing is the last
      start = step.next;
      const line = words.imported.replace("{added}", sum.added).replace("{known}", sum.known).replace("{left}", step.left);
      text(result, [line, ...sum.refused].join("\n"));
    }
  } catch (error) {
    text(result, error.message);
  }
  button.disabled = false;
});

look();
