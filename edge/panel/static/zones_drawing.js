// The drawing: shapes with corners in native pixels, what is selected, and the steps to undo.

const HISTORY = 200;

export class Drawing {
  constructor(drawn, newName) {
    this.newName = newName;
    this.alignment = settings(drawn.alignment);
    this.shapes = [
      ...(drawn.zones ?? []).flatMap((zone) => zone.polygons.map((points) => ({ kind: "zone", name: zone.name, area: zone.minimum_area_px ?? null, points }))),
      ...(drawn.ignore ?? []).map((points) => ({ kind: "ignore", name: "", area: null, points })),
      ...(drawn.alignment ? [{ kind: "mark", name: "", area: null, points: cornersOf(drawn.alignment.mark) }] : []),
    ];
    this.selected = -1;
    this.corner = 0;
    this.past = [];
    this.future = [];
  }

  shape() {
    return this.shapes[this.selected];
  }

  isEmpty() {
    return this.shapes.length === 0;
  }

  select(place) {
    this.selected = place;
    this.corner = 0;
  }

  // The layout as the product's file has it; polygons with one name are one zone.
  text() {
    const zones = new Map();
    for (const shape of this.shapes.filter((one) => one.kind === "zone")) {
      if (!zones.has(shape.name)) zones.set(shape.name, { name: shape.name, minimum_area_px: shape.area, polygons: [] });
      zones.get(shape.name).polygons.push(shape.points);
    }
    const mark = this.shapes.find((one) => one.kind === "mark");
    return JSON.stringify({
      zones: [...zones.values()],
      ignore: this.shapes.filter((one) => one.kind === "ignore").map((one) => one.points),
      alignment: mark ? { ...this.alignment, mark: rectangleOf(mark.points) } : null,
    });
  }

  // Keeps the present state as a step that undo comes back to.
  remember() {
    this.past.push(this.state());
    if (this.past.length > HISTORY) this.past.shift();
    this.future = [];
  }

  undo() {
    this.step(this.past, this.future);
  }

  redo() {
    this.step(this.future, this.past);
  }

  step(from, to) {
    if (!from.length) return;
    to.push(this.state());
    const { shapes, alignment } = JSON.parse(from.pop());
    this.shapes = shapes;
    this.alignment = alignment;
    this.select(Math.min(this.selected, shapes.length - 1));
  }

  state() {
    return JSON.stringify({ shapes: this.shapes, alignment: this.alignment });
  }

  add(points) {
    this.remember();
    const names = new Set(this.shapes.map((one) => one.name));
    let number = 1;
    while (names.has(`${this.newName} ${number}`)) number += 1;
    this.shapes.push({ kind: "zone", name: `${this.newName} ${number}`, area: null, points });
    this.select(this.shapes.length - 1);
  }

  // A mark is the rectangle around what was drawn, and there is one at most.
  setKind(kind) {
    const shape = this.shape();
    if (kind === "mark") {
      this.shapes = this.shapes.filter((one) => one === shape || one.kind !== "mark");
      shape.points = cornersOf(rectangleOf(shape.points));
    }
    shape.kind = kind;
    this.select(this.shapes.indexOf(shape));
  }

  moveCorner(corner, [x, y]) {
    const { kind, points } = this.shape();
    if (kind !== "mark") {
      points[corner] = [x, y];
      return;
    }
    points[corner] = [Math.round(x), Math.round(y)];
    points[corner ^ 1][1] = points[corner][1]; // beside it
    points[3 - corner][0] = points[corner][0]; // above or below it
  }

  moveShape(start, right, down) {
    this.shape().points = start.map(([x, y]) => [x + right, y + down]);
  }

  addCorner() {
    this.remember();
    const { points } = this.shape();
    const [a, b] = [points[this.corner], points[(this.corner + 1) % points.length]];
    points.splice(this.corner + 1, 0, [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]);
    this.corner += 1;
  }

  deleteCorner() {
    const shape = this.shape();
    if (shape.kind === "mark" || shape.points.length <= 3) {
      this.deleteShape();
      return;
    }
    this.remember();
    shape.points.splice(this.corner, 1);
    this.corner = Math.min(this.corner, shape.points.length - 1);
  }

  deleteShape() {
    this.remember();
    this.shapes.splice(this.selected, 1);
    this.select(this.shapes.length - 1);
  }
}

function settings(alignment) {
  const { mark, ...rest } = alignment ?? {};
  return Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null));
}

function cornersOf({ left, top, width, height }) {
  return [[left, top], [left + width, top], [left + width, top + height], [left, top + height]];
}

function rectangleOf(points) {
  const [xs, ys] = [0, 1].map((axis) => points.map((point) => Math.round(point[axis])));
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  return { left, top, width: Math.max(...xs) - left, height: Math.max(...ys) - top };
}
