// The stage: the frame with the shapes over it, for mouse, touch, pen and keys.

import { replaceChildren, svg } from "./dom.js";

const CORNER_PX = 10; // on the screen
const LABEL_PX = 15;
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const FAR = 10; // pixels of the frame for a key with Shift
const DECIMALS = 10; // a corner is kept to a tenth of a pixel

export class Stage {
  constructor(node, data, drawing, changed) {
    this.node = node;
    this.data = data;
    this.drawing = drawing;
    this.changed = changed;
    this.view = [0, 0, data.width, data.height];
    this.sketch = null; // corners of the polygon that is being drawn
    this.drag = null;
    this.picture = svg("image", { href: data.picture, width: data.width, height: data.height, preserveAspectRatio: "none" });
    this.shapes = svg("g");
    node.append(this.picture, this.shapes);
    node.addEventListener("pointerdown", (event) => this.press(event));
    node.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) node.addEventListener(name, () => this.release());
    node.addEventListener("dblclick", () => { if (this.canFinish()) { this.finish(); changed(); } });
    node.addEventListener("keydown", (event) => this.key(event));
    node.addEventListener("wheel", (event) => { event.preventDefault(); this.zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, this.at(event)); this.draw(); }, { passive: false });
    new ResizeObserver(() => this.draw()).observe(node);
  }

  // Pixels of the frame in one of the screen.
  scale() {
    return 1 / (this.node.getScreenCTM()?.a || 1);
  }

  at(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.node.getScreenCTM().inverse());
    return this.inside([point.x, point.y]);
  }

  inside([x, y]) {
    const within = (value, most) => Math.round(Math.min(Math.max(value, 0), most) * DECIMALS) / DECIMALS;
    return [within(x, this.data.width), within(y, this.data.height)];
  }

  draw() {
    this.node.setAttribute("viewBox", this.view.join(" "));
    this.node.classList.toggle("drawing", this.sketch !== null);
    const scale = this.scale();
    const focused = document.activeElement?.dataset?.corner;
    const shapes = this.drawing.shapes.map((shape, place) => this.area(shape, place, scale));
    replaceChildren(this.shapes, ...shapes, ...this.corners(scale), ...this.sketched(scale));
    if (focused !== undefined) this.shapes.querySelector(`[data-corner="${this.drawing.corner}"]`)?.focus();
  }

  area(shape, place, scale) {
    const points = shape.points.map((point) => point.join(",")).join(" ");
    const state = place === this.drawing.selected ? " selected" : "";
    const label = shape.kind === "zone" ? shape.name : this.data.texts[`kind_${shape.kind}`];
    const [x, y] = shape.points[0];
    return svg("g", {},
      svg("polygon", { class: `area ${shape.kind}${state}`, points, "data-shape": place }),
      svg("text", { class: "label", x: x + 4 * scale, y: y + (LABEL_PX + 4) * scale, "font-size": LABEL_PX * scale }, label));
  }

  corners(scale) {
    const shape = this.drawing.shape();
    if (!shape || this.sketch) return [];
    return shape.points.map(([x, y], corner) => svg("circle", {
      class: `corner${corner === this.drawing.corner ? " selected" : ""}`,
      cx: x, cy: y, r: CORNER_PX * scale, tabindex: 0, role: "button", "data-corner": corner,
      "aria-label": `${this.data.texts.corner.replace("{number}", corner + 1)}: ${x}, ${y}`,
    }));
  }

  sketched(scale) {
    if (!this.sketch) return [];
    const points = this.sketch.map((point) => point.join(",")).join(" ");
    const dots = this.sketch.map(([cx, cy]) => svg("circle", { class: "corner", cx, cy, r: CORNER_PX * scale * 0.6 }));
    return [svg("polyline", { class: "sketch", points }), ...dots];
  }

  begin() {
    this.sketch = this.sketch ? null : [];
  }

  canFinish() {
    return this.sketch !== null && this.sketch.length >= 3;
  }

  finish() {
    const points = this.sketch;
    this.sketch = null;
    this.drawing.add(points);
  }

  // A polygon without drawing, in the middle of what is shown.
  addSquare() {
    const [left, top, width, height] = this.view;
    const [x, y, half] = [left + width / 2, top + height / 2, Math.min(width, height) / 6];
    this.drawing.add([[x - half, y - half], [x + half, y - half], [x + half, y + half], [x - half, y + half]].map((point) => this.inside(point)));
  }

  press(event) {
    if (event.button !== 0 || this.drag) return;
    const point = this.at(event);
    if (this.sketch) {
      this.addPoint(point);
      return;
    }
    this.node.setPointerCapture(event.pointerId);
    const { corner, shape } = event.target.dataset;
    if (corner !== undefined) {
      this.drawing.corner = Number(corner);
      this.drag = { kind: "corner" };
      event.target.focus();
    } else if (shape !== undefined) {
      this.drawing.select(Number(shape));
      this.drag = { kind: "shape", from: point, points: this.drawing.shape().points };
    } else {
      this.drag = { kind: "view", x: event.clientX, y: event.clientY, view: this.view };
    }
    event.preventDefault();
    this.changed(false);
  }

  // A touch on the first corner closes the polygon.
  addPoint(point) {
    const [first] = this.sketch;
    const reach = 1.5 * CORNER_PX * this.scale();
    const closes = this.canFinish() && Math.hypot(point[0] - first[0], point[1] - first[1]) < reach;
    const last = this.sketch.at(-1);
    if (closes) this.finish();
    else if (!last || last[0] !== point[0] || last[1] !== point[1]) this.sketch.push(point);
    this.changed(closes);
  }

  move(event) {
    if (!this.drag) return;
    const { kind, from, points, view } = this.drag;
    if (kind === "view") {
      const scale = this.scale();
      this.view = this.bounded([view[0] - (event.clientX - this.drag.x) * scale, view[1] - (event.clientY - this.drag.y) * scale, view[2], view[3]]);
      this.draw();
      return;
    }
    const at = this.at(event);
    this.step();
    if (kind === "corner") this.drawing.moveCorner(this.drawing.corner, at);
    else this.shift(points, at[0] - from[0], at[1] - from[1]);
    this.changed(false);
  }

  // Takes the state before a drag as the step to undo, at its first movement.
  step() {
    if (!this.drag.moved) this.drawing.remember();
    this.drag.moved = true;
  }

  // Moves a shape no farther than the frame.
  shift(points, right, down) {
    const bounded = (axis, by, most) => {
      const values = points.map((point) => point[axis]);
      const step = Math.min(Math.max(by, -Math.min(...values)), most - Math.max(...values));
      return this.drawing.shape().kind === "mark" ? Math.round(step) : Math.round(step * DECIMALS) / DECIMALS;
    };
    this.drawing.moveShape(points, bounded(0, right, this.data.width), bounded(1, down, this.data.height));
  }

  release() {
    const moved = this.drag?.moved;
    this.drag = null;
    if (moved) this.changed();
  }

  key(event) {
    if (event.target.dataset.corner === undefined) return;
    this.drawing.corner = Number(event.target.dataset.corner);
    if (event.key === "Delete" || event.key === "Backspace") {
      this.drawing.deleteCorner();
    } else if (event.key in STEPS) {
      const by = event.shiftKey ? FAR : 1;
      const [x, y] = this.drawing.shape().points[this.drawing.corner];
      this.drawing.remember();
      this.drawing.moveCorner(this.drawing.corner, this.inside([x + by * STEPS[event.key][0], y + by * STEPS[event.key][1]]));
    } else {
      return;
    }
    event.preventDefault();
    this.changed();
  }

  zoom(factor, about = [this.view[0] + this.view[2] / 2, this.view[1] + this.view[3] / 2]) {
    const { width, height } = this.data;
    const wide = Math.min(Math.max(this.view[2] * factor, width / 50), width);
    const [left, top] = [about[0] - ((about[0] - this.view[0]) * wide) / this.view[2], about[1] - ((about[1] - this.view[1]) * wide) / this.view[2]];
    this.view = this.bounded([left, top, wide, (wide * height) / width]);
  }

  bounded([left, top, wide, high]) {
    const within = (value, most) => Math.min(Math.max(value, 0), Math.max(most, 0));
    return [within(left, this.data.width - wide), within(top, this.data.height - high), wide, high];
  }

  showWhole() {
    this.view = [0, 0, this.data.width, this.data.height];
  }
}
