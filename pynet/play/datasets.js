// The data that can be trained on: built-in digits, points in the plane, a line, and the user's files.
// {name, task: "classes" | "line", shape, classes, train: {x, labels or targets, n}, test, layout, plane, text}: layout
// is the note on pictures; plane: [left, bottom, right, top]; text: a network to begin with.

import { product } from "./core.js";
import { readIdx, readNpz } from "./datafiles.js";

const LARGEST = 512e6; // bytes of the arrays of a file
const FEW = 1000; // pictures are looked at
const LIGHT = 0.6; // of white: the mean of the pixels at the edges of pictures on a light background
const TEST = 5; // every fifth sample is for testing where a file has no test set

/** The built-in digits from their four IDX files: pictures and labels for training, then for testing. */
export async function digitSet(files) {
  const [x, y, testX, testY] = await Promise.all(files.map((bytes) => readIdx(bytes, "the built-in digits", LARGEST)));
  const part = (images, labels) => ({ x: images.values, labels: Int32Array.from(labels.values), n: images.shape[0] });
  const classes = Array.from({ length: 10 }, (_, i) => String(i));
  const layout = { height: 8, width: 8, color: false, style: "digits" };
  const text = "input(64) dense(64) relu dense(10) softmax";
  return { name: "digits", task: "classes", shape: [8, 8], classes, train: part(x, y), test: part(testX, testY), layout, text };
}

/** The digits 0, 1 and 2 alone. */
export function threeOf(digits) {
  const kept = (part) => {
    const rows = [...part.labels.keys()].filter((i) => part.labels[i] < 3);
    const x = new Uint8Array(rows.length * 64);
    rows.forEach((row, i) => x.set(part.x.subarray(64 * row, 64 * row + 64), 64 * i));
    return { x, labels: Int32Array.from(rows, (row) => part.labels[row]), n: rows.length };
  };
  const text = "input(64) dense(16) relu dense(3) softmax";
  return { ...digits, name: "three digits", classes: digits.classes.slice(0, 3), train: kept(digits.train), test: kept(digits.test), text };
}

export const TOYS = {
  moons: ["input(2) dense(16) tanh dense(2) softmax", [-1.5, -1.1, 2.5, 1.6]],
  spirals: ["input(2) dense(32) tanh dense(32) tanh dense(2) softmax", [-1.15, -1.15, 1.15, 1.15]],
  line: ["input(1) dense(1)", [-1.1, -1.6, 1.1, 3.6]],
};

/** Points in the plane with two classes, or on a line: see pynet/data/toys.py. */
export async function toySet(name, bytes) {
  const found = await readNpz(bytes, name, LARGEST);
  const [text, plane] = TOYS[name];
  const part = (key) => {
    const [x, y] = [found[`x_${key}`].values, found[`y_${key}`].values];
    return { x, ...(name === "line" ? { targets: y } : { labels: Int32Array.from(y) }), n: y.length };
  };
  const some = { shape: [found.x_train.shape[1]], train: part("train"), test: part("test"), plane, text };
  return name === "line" ? { name, task: "line", classes: [], ...some } : { name, task: "classes", classes: ["0", "1"], ...some };
}

// ---- files ----

/** A data set of an .npz, or of a pair of IDX files or two: pictures and labels. files: [{name, bytes}]. */
export async function fromFiles(files) {
  const arrays = {};
  for (const { name, bytes } of files) {
    if (/\.npz$/i.test(name)) Object.assign(arrays, await readNpz(bytes, name, LARGEST));
    else arrays[name] = await readIdx(bytes, name, LARGEST);
  }
  return assembled(files.map((file) => file.name).join(", "), arrays);
}

const PART = { test: /test|t10k/, val: /val|dev/ };
const KIND = { x: /^x|x$|image|img|feature|input|data/, y: /^y|y$|label|target/ };

/** "train x", "test y", ... from a name such as x_train, train_images or t10k-labels-idx1-ubyte. */
function role(name) {
  const words = name.toLowerCase().replace(/idx\d|ubyte|\.gz$|\.npy$/g, "").split(/[ _.-]+/).filter(Boolean);
  const text = words.join(" ");
  const part = Object.keys(PART).find((key) => PART[key].test(text)) ?? "train";
  const kind = name === "arr_0" ? "x" : name === "arr_1" ? "y" : words.some((word) => KIND.y.test(word)) ? "y" : words.some((word) => KIND.x.test(word)) ? "x" : null;
  return kind && part !== "val" ? `${part} ${kind}` : null;
}

function assembled(name, arrays) {
  const found = {};
  for (const [key, array] of Object.entries(arrays)) {
    const same = found[role(key)];
    if (same) throw new Error(`${same.key} and ${key} are both for the same; accepted: one of them`);
    if (role(key)) found[role(key)] = { ...array, key };
  }
  if (!found["train x"] || !found["train y"])
    throw new Error(`${name} has ${Object.keys(arrays).join(", ") || "no arrays"}; accepted: x and y, or x_train, y_train, x_test, y_test; or IDX files of pictures and of labels`);
  let train = samples(found["train x"], found["train y"]);
  let test = found["test x"] && found["test y"] ? samples(found["test x"], found["test y"]) : null;
  if (test && String(test.shape) !== String(train.shape))
    throw new Error(`${name}: samples for training have shape (${train.shape}), for testing (${test.shape}); accepted: the same`);
  const shape = train.shape;
  const count = 1 + [train, test].filter(Boolean).reduce((most, part) => part.labels.reduce((a, b) => Math.max(a, b), most), 0);
  if (!test) [train, test] = divided(train);
  const classes = Array.from({ length: Math.max(count, 2) }, (_, i) => String(i));
  const size = product(shape);
  const picture = shape.length === 2 && Math.min(...shape) >= 4;
  const layout = picture ? layoutOf(train, shape) : null;
  const text = `input(${size}) dense(64) relu dense(${classes.length}) softmax`;
  return { name, task: "classes", shape, classes, train, test, layout, text };
}

/** The note on pictures: square ones on a dark background are taken for glyphs, others are taken whole. */
function layoutOf({ x }, [height, width]) {
  let [edges, count, white] = [0, 0, 0];
  x.subarray(0, FEW * height * width).forEach((value, i) => {
    const [row, column] = [Math.floor(i / width) % height, i % width];
    white = Math.max(white, value);
    if (row && column && row < height - 1 && column < width - 1) return;
    edges += value;
    count += 1;
  });
  const whole = { height, width, color: false, style: null };
  if (edges > LIGHT * white * count) return { ...whole, background: "light" };
  return height === width ? { ...whole, style: height === 8 ? "digits" : "mnist" } : whole;
}

/** x (n, ...) and labels (n): bytes stay bytes, which means x / 255; other numbers are taken as they are. */
function samples(x, y) {
  const [n, ...shape] = x.shape;
  if (!n || !shape.length) throw new Error(`${x.key} has shape (${x.shape}); accepted: (samples, ...) with one sample or more`);
  if (y.shape.length !== 1 || y.shape[0] !== n)
    throw new Error(`${x.key} has shape (${x.shape}), ${y.key} (${y.shape}); accepted: one label for each sample`);
  const wrong = y.values.findIndex((value) => !Number.isInteger(Number(value)) || value < 0 || value > 999);
  if (wrong >= 0) throw new Error(`${y.key}[${wrong}] is ${y.values[wrong]}; accepted: whole numbers from 0 to 999`);
  const odd = x.values instanceof Float32Array ? x.values.findIndex((value) => !Number.isFinite(value)) : -1;
  if (odd >= 0) throw new Error(`${x.key} holds ${x.values[odd]}; accepted: finite numbers`);
  return { x: x.values, labels: Int32Array.from(y.values, Number), n, shape };
}

function divided({ x, labels, n, shape }) {
  if (n < TEST) throw new Error(`there are ${n} samples; accepted: ${TEST} or more, every fifth is for testing`);
  const size = x.length / n;
  const part = (rows) => {
    const found = new x.constructor(rows.length * size);
    rows.forEach((row, i) => found.set(x.subarray(row * size, (row + 1) * size), i * size));
    return { x: found, labels: Int32Array.from(rows, (row) => labels[row]), n: rows.length, shape };
  };
  const all = [...labels.keys()];
  return [part(all.filter((i) => (i + 1) % TEST)), part(all.filter((i) => (i + 1) % TEST === 0))];
}
