// Section 1: drawing with mouse, pen or finger, and editing the pixels that the network gets.

import { byId, css, colour, onTheme, report, shapeText } from "./dom.js";
import { part, prepared, resized } from "./glyph.js";
import { Grid } from "./grid.js";
import { emit, on, session } from "./session.js";

const SHEET = 168; // pixels on a side of the sheet that the strokes are drawn on, before they are prepared
const PEN = 0.07; // width of a stroke, of the sheet's side

const strokes = []; // each: points [x, y], fractions of the side
let under = null; // a picture below the strokes, as ink
let due = false;
const sheet = new OffscreenCanvas(SHEET, SHEET).getContext("2d", { willReadFrequently: true });
let pad, grid;

export function startDrawing(digits) {
  pad = byId("pad");
  pad.addEventListener("pointerdown", begin);
  pad.addEventListener("pointermove", follow);
  for (const name of ["pointerup", "pointercancel"]) pad.addEventListener(name, end);
  pad.addEventListener("keydown", (event) => {
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) undo();
    if (event.key === "Delete" || event.key === "Backspace") clear();
  });
  byId("undo").onclick = undo;
  byId("clear").onclick = clear;
  byId("random").onclick = () => example(digits);
  grid = new Grid(byId("seen"), { grey: true, cell: [4, 60], height: 360, select: showPixel });
  byId("seen").addEventListener("keydown", typeDigit);
  byId("pixel-value").oninput = (event) => setPixel(event.target.valueAsNumber);
  onTheme(redraw);
  new ResizeObserver(redraw).observe(pad);
  on("network", () => (strokes.length || under ? prepare() : show(null)));
}

// ---- strokes ----

const place = (event) => {
  const box = pad.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
};

function begin(event) {
  if (event.button) return;
  event.preventDefault();
  pad.focus({ preventScroll: true });
  pad.setPointerCapture(event.pointerId);
  strokes.push([place(event)]);
  pad.dataset.pen = event.pointerId;
  changed();
}

function follow(event) {
  if (pad.dataset.pen !== String(event.pointerId)) return;
  const points = event.getCoalescedEvents?.() ?? [];
  strokes.at(-1).push(...(points.length ? points : [event]).map(place));
  changed();
}

function end(event) {
  if (pad.dataset.pen === String(event.pointerId)) delete pad.dataset.pen;
}

function undo() {
  if (strokes.length) strokes.pop();
  else under = null;
  changed();
}

function clear() {
  strokes.length = 0;
  under = null;
  report("draw-message", "");
  changed();
}

/** At most once a frame. */
function changed() {
  session.label = null;
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    redraw();
    prepare();
  });
}

/** Draws these strokes: lists of points [x, y], fractions of the side. */
export function drawStrokes(list) {
  under = null;
  strokes.splice(0, strokes.length, ...list);
  redraw();
  prepare();
}

function redraw() {
  const ratio = devicePixelRatio || 1;
  pad.width = pad.height = Math.max(1, Math.round(pad.clientWidth * ratio));
  ink(pad.getContext("2d"), pad.width, css(colour("ink")));
}

function ink(context, side, style) {
  context.clearRect(0, 0, side, side);
  if (under) context.drawImage(picture(under, style), 0, 0, side, side);
  Object.assign(context, { lineCap: "round", lineJoin: "round", lineWidth: PEN * side, strokeStyle: style });
  for (const points of strokes) {
    context.beginPath();
    context.moveTo(points[0][0] * side, points[0][1] * side);
    for (const [x, y] of points.length > 1 ? points : [...points, ...points]) context.lineTo(x * side, y * side);
    context.stroke();
  }
}

function picture({ h, w, a }, style) {
  const canvas = new OffscreenCanvas(w, h);
  const context = canvas.getContext("2d");
  const [r, g, b] = style.match(/\d+/g).map(Number);
  const image = context.createImageData(w, h);
  a.forEach((value, i) => image.data.set([r, g, b, 255 * value], 4 * i));
  context.putImageData(image, 0, 0);
  return canvas;
}

/** What the network gets of the sheet. */
function prepare() {
  if (!session.model) return;
  ink(sheet, SHEET, css([0, 0, 0]));
  const alpha = sheet.getImageData(0, 0, SHEET, SHEET).data;
  const a = Float32Array.from({ length: SHEET * SHEET }, (_, i) => alpha[4 * i + 3] / 255);
  show(prepared({ h: SHEET, w: SHEET, a }, session.model));
}

// ---- pixels ----

function show(pixels) {
  const { height, width } = session.model;
  session.pixels = pixels;
  grid.show(pixels ?? new Uint8Array(height * width), [height, width]);
  byId("seen-size").textContent = shapeText([height, width]);
  if (grid.index >= height * width) grid.index = -1;
  if (grid.index >= 0) byId("pixel-value").value = grid.values[grid.index];
  emit("pixels");
}

/** A test digit of the data that the network was trained on here, or of the built-in ones. */
function example(digits) {
  const { model } = session;
  const { x, labels, n, shape, classes } = model.examples ?? digits;
  const known = [...labels.keys()].filter((i) => model.classes.includes(classes[labels[i]]));
  const i = known.length ? known[Math.floor(Math.random() * known.length)] : Math.floor(Math.random() * n);
  const [h, w] = shape;
  const pixels = x.slice(i * h * w, (i + 1) * h * w);
  const light = model.background === "light";
  const ink = model.examples && light ? inverted(pixels) : pixels;
  strokes.length = 0;
  under = enlarged({ h, w, a: Float32Array.from(ink, (value) => value / 255) });
  redraw();
  session.label = classes[labels[i]];
  const same = h === model.height && w === model.width && model.styleName !== "mnist";
  if (model.examples || same) show(light ? inverted(ink) : ink);
  else show(prepared(under, model));
  report("draw-message", `A ${classes[labels[i]]} of the test samples, ${shapeText(shape)} pixels, which no training here has seen.`);
}

const inverted = (pixels) => pixels.map((value) => 255 - value);

/** A small picture enlarged, its edges sharp, with paper around: a glyph may fill its own. */
function enlarged(small) {
  const wide = resized(small, 6 * small.h, 6 * small.w);
  wide.a.forEach((value, i) => (wide.a[i] = Math.min(Math.max(2 * value - 0.5, 0), 1)));
  return part(wide, -small.h, -small.w, 8 * small.h, 8 * small.w);
}

function showPixel(index) {
  const { width } = session.model;
  const field = byId("pixel-value");
  field.disabled = false;
  field.value = grid.values[index];
  byId("pixel-place").textContent = `row ${Math.floor(index / width)}, column ${index % width}`;
}

function setPixel(value) {
  if (grid.index < 0) return;
  if (!Number.isInteger(value) || value < 0 || value > 255) {
    report("draw-message", `${byId("pixel-value").value || "nothing"} is no pixel; accepted: whole numbers from 0 to 255`, "error");
    return;
  }
  report("draw-message", "");
  const pixels = Uint8Array.from(grid.values);
  pixels[grid.index] = value;
  show(pixels.some((one) => one) ? pixels : null);
}

/** Digits typed while a pixel is selected become its value; a space turns it on or off. */
function typeDigit(event) {
  if (grid.index < 0 || event.ctrlKey || event.metaKey) return;
  const now = grid.values[grid.index];
  if (event.key === " ") setPixel(now ? 0 : 255);
  else if (event.key === "Delete") setPixel(0);
  else if (/^\d$/.test(event.key)) setPixel(10 * now + Number(event.key) <= 255 ? 10 * now + Number(event.key) : Number(event.key));
  else return;
  event.preventDefault();
}
