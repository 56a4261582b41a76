// Numbers as squares of colour on a canvas: pictures, feature maps, weights, the outputs of a layer. One of them can be
// selected by a click or by the arrow keys.

import { colour, mixed, onTheme } from "./dom.js";

const GAP = 3; // pixels between planes

/** Shows values of shape (planes, height, width); select(index): called with the place of the selected one. */
export class Grid {
  constructor(canvas, { grey = false, cell = [1, 14], height = 300, select = null } = {}) {
    Object.assign(this, { canvas, grey, cell, limit: height, select, index: -1 });
    new ResizeObserver(() => this.values && this.paint()).observe(canvas.parentElement);
    onTheme(() => this.values && this.paint());
    if (!select) return;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.addEventListener("pointerdown", (event) => this.pick(this.at(event)));
    canvas.addEventListener("keydown", (event) => this.move(event));
  }

  /** shape: (n), (height, width) or (planes, height, width); most: the size of the strongest colour, null: the largest. */
  show(values, shape, most = null) {
    this.values = values;
    this.shape = shape.length === 3 ? shape : shape.length === 2 ? [1, ...shape] : [shape[0], 1, 1];
    this.most = most ?? values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    this.paint();
  }

  clear() {
    this.values = null;
    this.canvas.width = this.canvas.height = 1;
  }

  /** The largest cell with which all planes fit, how many stand in a row, and how many planes are shown at all. */
  layout() {
    const [planes, h, w] = this.shape;
    const width = Math.max(this.canvas.parentElement.clientWidth, 40);
    const gap = planes > 1 ? (h * w === 1 ? 1 : GAP) : 0;
    for (let cell = this.cell[1]; ; cell -= 0.5) {
      const across = Math.min(planes, Math.max(1, Math.floor((width + gap) / (w * cell + gap))));
      const down = Math.ceil(planes / across);
      const fits = down * (h * cell + gap) - gap <= this.limit && w * cell <= width;
      if (fits || cell <= this.cell[0]) {
        const shown = fits ? planes : Math.min(planes, across * Math.max(1, Math.floor((this.limit + gap) / (h * cell + gap))));
        return { cell: Math.min(cell, width / w), across, gap, shown, down: Math.ceil(shown / across) };
      }
    }
  }

  paint() {
    const [, h, w] = this.shape;
    const at = (this.now = this.layout());
    const { cell, across, gap, shown, down } = at;
    const ratio = devicePixelRatio || 1;
    const size = [across * (w * cell + gap) - gap, down * (h * cell + gap) - gap];
    this.canvas.style.width = `${size[0]}px`;
    this.canvas.style.height = `${size[1]}px`;
    [this.canvas.width, this.canvas.height] = size.map((side) => Math.max(1, Math.round(side * ratio)));
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.imageSmoothingEnabled = false;
    const plane = new OffscreenCanvas(w, h);
    const pen = plane.getContext("2d");
    const image = pen.createImageData(w, h);
    for (let p = 0; p < shown; p++) {
      this.fill(image.data, p * h * w, h * w);
      pen.putImageData(image, 0, 0);
      context.drawImage(plane, ...this.corner(p), w * cell, h * cell);
    }
    this.mark(context);
  }

  corner(plane) {
    const [, h, w] = this.shape;
    const { cell, across, gap } = this.now;
    return [(plane % across) * (w * cell + gap), Math.floor(plane / across) * (h * cell + gap)];
  }

  fill(data, from, count) {
    const [zero, plus, minus] = this.grey ? [[0, 0, 0], [255, 255, 255], [0, 0, 0]] : ["zero", "plus", "minus"].map(colour);
    for (let i = 0; i < count; i++) {
      const value = this.values[from + i] / (this.grey ? 255 : this.most || 1);
      const [r, g, b] = mixed(zero, value < 0 ? minus : plus, Math.min(Math.abs(value) || 0, 1));
      data.set([r, g, b, 255], 4 * i);
    }
  }

  mark(context) {
    const [planes, h, w] = this.shape;
    if (this.index < 0 || this.index >= planes * h * w) return;
    const [x, y] = this.corner(Math.floor(this.index / (h * w)));
    const { cell } = this.now;
    const inner = this.index % (h * w);
    context.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--mark");
    context.lineWidth = 2;
    context.strokeRect(x + (inner % w) * cell + 1, y + Math.floor(inner / w) * cell + 1, Math.max(cell - 2, 2), Math.max(cell - 2, 2));
  }

  /** The index under the pointer; -1 between planes. */
  at(event) {
    if (!this.values) return -1;
    const box = this.canvas.getBoundingClientRect();
    const [planes, h, w] = this.shape;
    const { cell, across, gap } = this.now;
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const [column, row] = [Math.floor(x / (w * cell + gap)), Math.floor(y / (h * cell + gap))];
    const [j, i] = [Math.floor((x - column * (w * cell + gap)) / cell), Math.floor((y - row * (h * cell + gap)) / cell)];
    const plane = row * across + column;
    return j < 0 || i < 0 || j >= w || i >= h || column >= across || plane >= planes ? -1 : (plane * h + i) * w + j;
  }

  pick(index) {
    if (index < 0) return;
    this.index = index;
    this.paint();
    this.select(index);
  }

  move(event) {
    if (!this.values || !event.key.startsWith("Arrow")) return;
    event.preventDefault();
    const [planes, h, w] = this.shape;
    const across = h * w === 1 ? this.now.across : w;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[event.key];
    const to = this.index < 0 ? 0 : this.index + step;
    if (to >= 0 && to < planes * h * w) this.pick(to);
  }
}
