// A part under review: its picture, the mask that a person paints over it, and the keys.

import { text } from "./dom.js";
import { Painting } from "./painting.js";
import { Stage } from "./stage.js";

const data = JSON.parse(document.querySelector("#data").textContent);
const words = data.texts;
const find = (selector) => document.querySelector(selector);
const KEYS = { 1: "defect", 2: "good", 3: "undecided" };
const REMEMBERED = ["why", "defect"];
const TYPING = "input:not([type=checkbox]):not([type=range]), textarea, select";

const form = find("#decide");
const painting = find("#undo") && find("#layer") ? new Painting(find("#layer"), find("#brush"), find("#erase"), showTools) : null;

async function showPicture() {
  const canvas = find("#canvas");
  if (!canvas) return;
  const stage = new Stage(canvas, { images: data.images });
  const images = { frame: [data.frame], mask: data.mask === null ? [] : [data.mask] };
  const outline = find("#show-outline");
  const draw = () => stage.show({ trigger: data.trigger, pictures: [], images }, outline.checked, false, 1);
  outline.addEventListener("change", draw);
  await draw();
  find("#no-image").hidden = stage.hasImage;
  find("#paint").hidden = !stage.hasImage;
  find("#paint").style.setProperty("--ratio", canvas.width / canvas.height);
  painting?.begin(canvas.width, canvas.height);
}

function showTools() {
  find("#undo").disabled = find("#clear").disabled = painting.isEmpty;
}

function usePainting() {
  find("#undo").addEventListener("click", () => painting.undo());
  find("#clear").addEventListener("click", () => painting.clear());
}

function useForm() {
  const defect = form.elements.defect;
  for (const name of REMEMBERED) form.elements[name].value = sessionStorage.getItem(`review.${name}`) ?? "";
  // Before the browser checks the fields: only a defect needs its type.
  for (const button of form.querySelectorAll("[name=decision]")) {
    button.addEventListener("click", () => (defect.required = button.value === "defect"));
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(event.submitter.value);
  });
}

async function send(decision) {
  const body = new FormData(form), problem = find("#problem");
  body.set("decision", decision);
  if (decision === "defect" && painting && !painting.isEmpty) body.set("mask", painting.png());
  for (const name of REMEMBERED) sessionStorage.setItem(`review.${name}`, form.elements[name].value);
  text(problem, words.sending);
  problem.hidden = false;
  disable(true);
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    if (answer.ok) return location.assign(answer.url);
    text(problem, (await answer.json()).message);
  } catch (error) {
    text(problem, error.message);
  }
  disable(false);
}

function disable(is) {
  for (const button of form.querySelectorAll("button")) button.disabled = is;
}

document.addEventListener("keydown", (event) => {
  if (event.target.matches(TYPING)) return;
  if (painting && (event.ctrlKey || event.metaKey) && event.key === "z") {
    event.preventDefault();
    painting.undo();
  }
  if (!form || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key in KEYS) form.querySelector(`[value=${KEYS[event.key]}]`).click();
});

if (painting) usePainting();
if (form) useForm();
showPicture();
