// A part on a canvas: its frame, the heat map over it with an opacity, the outline of the defect.

// Inferno of matplotlib at eight places, from dark to bright.
const INFERNO = [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39], [252, 255, 164]];
const STALE_MS = 500;
const OUTLINE = "#00ffff";

export class Stage {
  constructor(canvas, settings) {
    this.canvas = canvas;
    this.settings = settings;
    this.hasImage = false; // of the newest picture that was asked for
    this.shown = "";
    this.trigger = ""; // of the part on the canvas
    this.asked = { trigger: "", at: 0 };
    this.loaded = new Map();
  }

  show(part, outline, heat, opacity) {
    const key = [part.trigger, part.pictures.length, outline, heat, opacity].join();
    if (key === this.shown) return undefined;
    if (part.trigger !== this.asked.trigger) this.asked = { trigger: part.trigger, at: performance.now() };
    this.shown = key;
    return this.draw(part, outline, heat, opacity, key);
  }

  // The picture of the part before may stay while the next one comes, and no longer.
  get isCurrent() {
    const { trigger, at } = this.asked;
    return this.hasImage && (this.trigger === trigger || performance.now() - at < STALE_MS);
  }

  async draw(part, outline, heat, opacity, key) {
    const frame = await this.image(this.address(part, "frame", 1280));
    const map = heat ? await this.image(this.address(part, "heat", 1280)) : null;
    const mask = outline ? await this.image(this.address(part, "mask", 1280)) : null;
    if (key !== this.shown) return; // a newer part came meanwhile
    this.hasImage = frame !== null;
    if (!frame) return;
    const { canvas } = this;
    this.trigger = part.trigger;
    canvas.dataset.trigger = part.trigger;
    canvas.width = frame.naturalWidth;
    canvas.height = frame.naturalHeight;
    const context = canvas.getContext("2d");
    context.drawImage(frame, 0, 0);
    const region = this.region(part);
    if (map) {
      context.globalAlpha = opacity;
      context.drawImage(coloured(map), ...region);
      context.globalAlpha = 1;
    }
    if (mask) drawOutline(context, mask, region);
  }

  region(part) {
    const [left, top, width, height] = part.pictures.length ? part.region : [0, 0, 1, 1];
    const { width: w, height: h } = this.canvas;
    return [left * w, top * h, width * w, height * h];
  }

  // The line's memory first; else the archive, which keeps the images of some parts.
  address(part, kind, size) {
    if (part.pictures.includes(kind)) return `${this.settings.pictures}${part.trigger}/${kind}`;
    if (part.pictures.length) return null;
    const place = part.images[kind]?.[0];
    return place === undefined ? null : `${this.settings.images}${part.trigger}/images/${place}?size=${size}`;
  }

  smallAddress(part) {
    return this.address(part, "frame", 160);
  }

  image(address) {
    if (address === null) return Promise.resolve(null);
    if (!this.loaded.has(address)) {
      this.loaded.set(address, load(address));
      if (this.loaded.size > 48) this.loaded.delete(this.loaded.keys().next().value);
    }
    return this.loaded.get(address);
  }
}

function load(address) {
  return new Promise((resolve) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => resolve(null); // deleted to make room: the page says that there is none
    image.src = address;
  });
}

function pixelsOf(image) {
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return [canvas, context, context.getImageData(0, 0, canvas.width, canvas.height)];
}

function coloured(image) {
  const [canvas, context, pixels] = pixelsOf(image);
  for (let at = 0; at < pixels.data.length; at += 4) {
    const place = (pixels.data[at] / 255) * (INFERNO.length - 1);
    const lower = INFERNO[Math.floor(place)], upper = INFERNO[Math.ceil(place)];
    for (let channel = 0; channel < 3; channel += 1) {
      pixels.data[at + channel] = lower[channel] + (upper[channel] - lower[channel]) * (place % 1);
    }
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

// Strokes the border of the mask: a pixel of the defect beside one that is not.
function drawOutline(context, image, [left, top, width, height]) {
  const [, , pixels] = pixelsOf(image);
  const { data, width: columns, height: rows } = pixels;
  const inside = (column, row) => column >= 0 && row >= 0 && column < columns && row < rows && data[4 * (row * columns + column)] > 127;
  const path = new Path2D();
  const x = (column) => left + (column * width) / columns;
  const y = (row) => top + (row * height) / rows;
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      if (!inside(column, row)) continue;
      const edges = [[0, -1, 0, 0, 1, 0], [0, 1, 0, 1, 1, 1], [-1, 0, 0, 0, 0, 1], [1, 0, 1, 0, 1, 1]];
      for (const [dx, dy, x1, y1, x2, y2] of edges) {
        if (inside(column + dx, row + dy)) continue;
        path.moveTo(x(column + x1), y(row + y1));
        path.lineTo(x(column + x2), y(row + y2));
      }
    }
  }
  context.lineWidth = Math.max(2, context.canvas.width / 240);
  context.strokeStyle = OUTLINE;
  context.stroke(path);
}
