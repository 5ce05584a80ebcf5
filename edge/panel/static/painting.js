// Strokes of a brush over a picture, by mouse, finger or pen; the last ones can be taken back.

const COLOUR = "#f0e442";
const DOT = 0.01; // px

export class Painting {
  // brush: range, in percent of the picture's width; erase: check box; changed: called after each stroke.
  constructor(canvas, brush, erase, changed) {
    this.canvas = canvas;
    this.brush = brush;
    this.erase = erase;
    this.changed = changed;
    this.strokes = [];
    this.stroke = null; // the one that the pointer draws now
  }

  begin(width, height) {
    const { canvas } = this;
    canvas.width = width;
    canvas.height = height;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.up(event));
  }

  get isEmpty() {
    return !this.strokes.some((one) => !one.erase);
  }

  undo() {
    this.strokes.pop();
    this.redraw();
  }

  clear() {
    this.strokes = [];
    this.redraw();
  }

  // The mask as PNG in base64: white where it is painted, on black.
  png() {
    const mask = document.createElement("canvas");
    mask.width = this.canvas.width;
    mask.height = this.canvas.height;
    const context = mask.getContext("2d");
    context.fillRect(0, 0, mask.width, mask.height);
    for (const one of this.strokes) draw(context, one, one.erase ? "#000" : "#fff");
    return mask.toDataURL("image/png").split(",")[1];
  }

  down(event) {
    if (this.stroke !== null || event.button !== 0) return; // a second finger paints nothing
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    const width = (this.canvas.width * this.brush.value) / 100;
    this.stroke = { pointer: event.pointerId, width, erase: this.erase.checked, points: [this.place(event)] };
    this.strokes.push(this.stroke);
    this.redraw();
  }

  move(event) {
    if (this.stroke?.pointer !== event.pointerId) return;
    this.stroke.points.push(this.place(event));
    this.redraw();
  }

  up(event) {
    if (this.stroke?.pointer === event.pointerId) this.stroke = null;
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * this.canvas.width) / box.width, ((event.clientY - box.top) * this.canvas.height) / box.height];
  }

  redraw() {
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    for (const one of this.strokes) {
      context.globalCompositeOperation = one.erase ? "destination-out" : "source-over";
      draw(context, one, COLOUR);
    }
    context.globalCompositeOperation = "source-over";
    this.changed();
  }
}

function draw(context, { points, width }, colour) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  context.moveTo(...points[0]);
  if (points.length === 1) context.lineTo(points[0][0] + DOT, points[0][1]); // a line of no length has no ends
  for (const point of points.slice(1)) context.lineTo(...point);
  context.stroke();
}
