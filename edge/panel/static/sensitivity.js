// Shows the figures of a place on the slider. The server has found for each part from which place on
// it is rejected; the script counts and compares nothing but places.

import { element, replaceChildren, text } from "./dom.js";

const SHOWN = 12; // pictures of each kind

const data = JSON.parse(document.getElementById("data").textContent);
const words = data.texts;
const find = (id) => document.getElementById(id);
const slider = find("slider");

function filled(pattern, values) {
  return pattern.replace(/{(\w+)}/g, (_, name) => values[name]);
}

const percent = (share) => `${(100 * share).toFixed(2)} %`;
const digits = (score) => String(Number(score.toPrecision(6)));
const isRejected = (part, place) => place >= part.from;
const isOpen = (part, place) => place >= part.before && place < part.from;

function show() {
  const place = Number(slider.value);
  const point = data.points[place];
  const values = { bound: percent(point.bound), expected: percent(point.expected), confidence: `${100 * data.confidence} %` };
  const promised = filled(data.is_approximate ? words.promised_about : words.promised, values);
  slider.setAttribute("aria-valuetext", `${words.threshold} ${digits(point.reject)}. ${promised}`);
  text(find("threshold"), digits(point.reject));
  text(find("promised"), promised);
  text(find("expected"), filled(words.expected, values));
  find("refusal").hidden = !point.refusal;
  text(find("refusal"), point.refusal);
  find("zones")?.querySelectorAll("dd").forEach((zone, number) => text(zone, digits(point.reject_by_zone[number])));
  showLabelled(place);
  showLatest(place);
  moveMarks(point);
  take(point);
}

function showLabelled(place) {
  const kinds = [["defects", words.defects, (part) => !part.good], ["goods", words.goods, (part) => part.good]];
  for (const [id, pattern, belongs] of kinds) {
    const parts = data.labelled.filter(belongs);
    const rejected = parts.filter((part) => isRejected(part, place)).length;
    const open = parts.filter((part) => isOpen(part, place)).length;
    const values = { count: parts.length, rejected, passed: parts.length - rejected - open };
    text(find(id), parts.length ? filled(pattern, values) : "");
  }
}

function showLatest(place) {
  if (!find("more")) return;
  const more = data.parts.filter((part) => !part.was && isRejected(part, place));
  const fewer = data.parts.filter((part) => part.was && place < part.before);
  const open = data.parts.filter((part) => isOpen(part, place));
  text(find("more"), filled(words.more, { count: more.length }));
  text(find("fewer"), filled(words.fewer, { count: fewer.length }));
  find("unknown").hidden = !open.length;
  text(find("unknown"), filled(words.unknown, { count: open.length }));
  list("more", more);
  list("fewer", fewer);
}

function list(name, parts) {
  find(`${name}-title`).hidden = !parts.length;
  const known = find(`${name}-parts`);
  const shown = parts.slice(0, SHOWN).map((part) => part.trigger);
  if (known.dataset.shown === shown.join()) return; // a picture is not loaded again at every step
  known.dataset.shown = shown.join();
  replaceChildren(known, ...parts.slice(0, SHOWN).map(card));
}

function card(part) {
  const picture = part.frame === null ? [] : [
    element("img", { src: `${data.images}${encodeURIComponent(part.trigger)}/images/${part.frame}?size=160`, alt: part.trigger, loading: "lazy" }),
  ];
  const label = part.label ? [element("br"), part.label] : [];
  return element("li", {}, ...picture, `${words.score} ${digits(part.score)}`, ...label);
}

function moveMarks(point) {
  for (const mark of document.querySelectorAll(".moves")) mark.setAttribute("transform", `translate(${point.x} 0)`);
  for (const area of document.querySelectorAll(".rejected")) {
    area.setAttribute("x", point.x);
    area.setAttribute("width", data.right - point.x);
  }
}

function take(point) {
  const form = find("take")?.querySelector("form");
  if (!form) return;
  form.elements.position.value = point.position_text;
  form.querySelector("button").disabled = Boolean(point.refusal);
}

slider.addEventListener("input", show);
slider.value = data.start; // a browser keeps the place of the page before
show();
