// Starts the page: the core, the digits, the model, then the sections.

import { startPrediction } from "./prediction.js";
import { fileOf } from "./assets.js";
import { bestVariant, openCore } from "./core.js";
import { digitSet, TOYS, toySet } from "./datasets.js";
import { report } from "./dom.js";
import { drawStrokes, startDrawing } from "./draw.js";
import { startLayers } from "./layers.js";
import { openModel } from "./model.js";
import { startOpen } from "./open.js";
import { session } from "./session.js";
import { startSoftmax } from "./softmax.js";
import { startSteps } from "./steps.js";
import { startTraining } from "./train.js";
import { startViews } from "./views.js";

const DIGITS = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"].map((part) => `digits-${part}-ubyte.gz`);

async function start() {
  const toys = Object.keys(TOYS);
  const variant = new URLSearchParams(location.search).get("core") ?? bestVariant(); // ?core=simd: for comparison
  const [wasm, facts, model, ...files] = await Promise.all([`pynet-${variant}.wasm`, "facts.json", "model.safetensors", ...DIGITS, ...toys.map((toy) => `${toy}.npz`)].map(fileOf));
  if (!wasm || files.includes(null)) throw new Error("a file of this page is missing: open it with `pynet play`, or the file that `pynet play --save` wrote");
  session.core = await openCore(wasm);
  const { name, ...rest } = JSON.parse(new TextDecoder().decode(facts));
  Object.assign(session, rest);
  const digits = await digitSet(files.splice(0, 4));
  const toySets = await Promise.all(toys.map((toy, i) => toySet(toy, files[i])));
  startSoftmax();
  startDrawing({ ...digits.test, shape: digits.shape, classes: digits.classes });
  startPrediction();
  startLayers();
  startSteps(digits);
  startViews();
  startOpen();
  openModel(model, name);
  startTraining(wasm, digits, toySets);
  for (const strokes of [[[[0.5, 0.2], [0.5, 0.8]]], []]) drawStrokes(strokes); // the first one takes long: it is compiled
  document.body.dataset.ready = Math.round(performance.now());
}

start().catch((error) => report("page-message", `The page could not start: ${error.message}`, "error"));
