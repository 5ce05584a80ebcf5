// The page of zones: tools, fields, preview and saving around the stage and the drawing.

import { element, replaceChildren, text } from "./dom.js";
import { Drawing } from "./zones_drawing.js";
import { Stage } from "./zones_stage.js";

const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const token = document.querySelector("#save [name=csrf]").value;
const words = data.texts;
const drawing = new Drawing(data.drawn, words.new_name);
const stage = new Stage(at("stage"), data, drawing, changed);
const MARK_FIELDS = ["search_px", "rotation_deg", "minimum_score", "minimum_lead"];
const PREVIEW_AFTER_MS = 400;
let waiting = 0;
let asked = 0;
let saved = drawing.text();

// Everything that shows the drawing follows it; a change that is still going on is not checked.
function changed(isDone = true) {
  stage.draw();
  fill();
  at("undo").disabled = !drawing.past.length;
  at("redo").disabled = !drawing.future.length;
  at("finish").disabled = !stage.canFinish();
  at("draw").setAttribute("aria-pressed", String(stage.sketch !== null));
  if (!isDone) return;
  clearTimeout(waiting);
  waiting = setTimeout(check, PREVIEW_AFTER_MS);
}

function name(shape) {
  return shape.kind === "zone" ? shape.name : words[`kind_${shape.kind}`];
}

function fill() {
  replaceChildren(at("shapes"), ...drawing.shapes.map((shape, place) => {
    const button = element("button", { type: "button", class: "quiet", "aria-current": String(place === drawing.selected) }, name(shape));
    button.addEventListener("click", () => { drawing.select(place); changed(false); });
    return button;
  }));
  const shape = drawing.shape();
  at("shape").hidden = !shape;
  if (!shape) return;
  for (const label of document.querySelectorAll("[data-of]")) label.hidden = label.dataset.of !== shape.kind;
  set("kind", shape.kind);
  set("name", shape.name);
  set("area", shape.area ?? "");
  for (const field of MARK_FIELDS) set(field, drawing.alignment[field] ?? "");
  for (const id of ["add_corner", "delete_corner"]) at(id).disabled = shape.kind === "mark";
  fillCorners(shape);
}

function set(id, value) {
  if (document.activeElement !== at(id)) at(id).value = value;
}

// Writes numbers into the rows that are there, so that a field keeps the focus.
function fillCorners(shape) {
  const rows = at("corners");
  while (rows.children.length > shape.points.length) rows.lastChild.remove();
  while (rows.children.length < shape.points.length) rows.append(cornerRow(rows.children.length));
  shape.points.forEach((point, corner) => {
    const row = rows.children[corner];
    row.classList.toggle("selected", corner === drawing.corner);
    row.querySelectorAll("input").forEach((input, axis) => {
      if (document.activeElement !== input) input.value = point[axis];
    });
  });
}

function cornerRow(corner) {
  const inputs = ["x", "y"].map((axis, place) => {
    const label = `${words.corner.replace("{number}", corner + 1)} ${axis}`;
    const input = element("input", { type: "number", step: "any", "aria-label": label });
    input.addEventListener("change", () => {
      const point = [...drawing.shape().points[corner]];
      point[place] = Number(input.value);
      drawing.remember();
      drawing.moveCorner(corner, point);
      changed();
    });
    input.addEventListener("focus", () => { drawing.corner = corner; stage.draw(); });
    return input;
  });
  return element("div", {}, element("span", {}, String(corner + 1)), ...inputs);
}

function act(id, does) {
  at(id).addEventListener("click", () => { does(); changed(); });
}

function edit(id, does) {
  at(id).addEventListener("change", () => { drawing.remember(); does(at(id).value); changed(); });
}

act("draw", () => stage.begin());
act("square", () => stage.addSquare());
act("finish", () => stage.finish());
act("undo", () => drawing.undo());
act("redo", () => drawing.redo());
act("closer", () => stage.zoom(1 / 1.5));
act("farther", () => stage.zoom(1.5));
act("whole", () => stage.showWhole());
act("add_corner", () => drawing.addCorner());
act("delete_corner", () => drawing.deleteCorner());
act("delete", () => drawing.deleteShape());
edit("kind", (value) => drawing.setKind(value));
edit("name", (value) => { drawing.shape().name = value; });
edit("area", (value) => { drawing.shape().area = value ? Number(value) : null; });
for (const field of MARK_FIELDS) edit(field, (value) => { drawing.alignment[field] = value === "" ? undefined : Number(value); });
at("shape").addEventListener("submit", (event) => event.preventDefault());

function form(more) {
  const fields = new FormData();
  for (const [key, value] of Object.entries({ recipe: data.recipe, reference: data.reference, layout: drawing.text(), ...more })) fields.append(key, value);
  return fields;
}

function send(path, fields) {
  return fetch(path, { method: "POST", body: fields, headers: { "X-CSRF-Token": token, Accept: "application/json" } });
}

async function refusal(answer) {
  const told = await answer.json();
  return told.message || told.title;
}

// Shows what is inspected, or why the product refuses the drawing; only the newest answer counts.
async function check() {
  const mine = ++asked;
  at("preview").hidden = drawing.isEmpty();
  if (drawing.isEmpty()) return text(at("state"), words.empty);
  try {
    const answer = await send(data.preview, form({}));
    if (!answer.ok) {
      const message = await refusal(answer);
      if (mine === asked) showRefused(message);
      return;
    }
    const picture = await createImageBitmap(await answer.blob());
    if (mine === asked) showPicture(picture);
  } catch {
    if (mine === asked) showRefused(words.no_answer);
  }
}

function showRefused(message) {
  at("state").classList.add("problem");
  at("preview").hidden = true;
  text(at("state"), message);
}

function showPicture(picture) {
  at("state").classList.remove("problem");
  text(at("state"), words.fits);
  const canvas = at("preview");
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").drawImage(picture, 0, 0);
}

at("save").addEventListener("submit", async (event) => {
  event.preventDefault();
  const why = new FormData(at("save")).get("why");
  at("refusal").hidden = true;
  try {
    const answer = await send(data.save, form({ why, newest: data.newest }));
    if (answer.ok) {
      saved = drawing.text();
      location.assign(answer.url);
      return;
    }
    text(at("refusal"), await refusal(answer));
  } catch {
    text(at("refusal"), words.no_answer);
  }
  at("refusal").hidden = false;
});

addEventListener("beforeunload", (event) => {
  if (drawing.text() !== saved) event.preventDefault();
});

changed();
