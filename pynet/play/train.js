// Section 6: the user's own network, trained in a worker while the page shows how it learns.

import { startWorker } from "./assets.js";
import { product } from "./core.js";
import { attempt, byId, bytesText, download, make, percent, report, short, whole } from "./dom.js";
import { threeOf } from "./datasets.js";
import { openModel } from "./model.js";
import { session } from "./session.js";
import { clearViews, showViews } from "./views.js";

const LIMIT = 1e9; // bytes of memory of a training
const PATIENCE = 3000; // milliseconds that a stop waits for the core, before the worker is ended
const RATES = { sgd: 0.1, momentum: 0.01, nesterov: 0.01, rmsprop: 0.001, adam: 0.001, adamw: 0.001 };

let sets = {};
let [data, wasm, worker] = [null, null, null];
let state = "new"; // new, training, stopping, stopped
let latest = null; // the last progress: its epoch, model, ...
let used = null; // the settings of the last part of the training
let history = [];
let [asked, answered] = [0, 0]; // checks of the settings

export function startTraining(bytes, digits, [moons, spirals, line]) {
  wasm = bytes;
  sets = { digits, three: threeOf(digits), moons, spirals, line };
  byId("train-optimizer").onchange = (event) => {
    byId("train-rate").value = RATES[event.target.value];
    check();
  };
  byId("train-data").onchange = (event) => attempt("train-message", () => use(sets[event.target.value]));
  for (const name of ["text", "seed"]) byId(`train-${name}`).oninput = reset;
  for (const name of ["rate", "batch"]) byId(`train-${name}`).oninput = check;
  byId("train-go").onclick = () => attempt("train-message", () => (state === "training" ? stop() : go()));
  byId("train-reset").onclick = reset;
  byId("train-save").onclick = () => attempt("train-message", () => download(named().save(), `${data.name.replace(/\W+/g, "-")}.safetensors`));
  byId("train-draw").onclick = () => attempt("train-message", drawWithIt);
  renew();
  use(digits);
}

/** Sets the data set to train on. */
export function use(set) {
  data = set;
  const select = byId("train-data");
  const key = Object.keys(sets).find((one) => sets[one] === set) ?? set.name;
  if (!sets[key]) select.append(make("option", { value: key }, key));
  sets[key] = set;
  select.value = key;
  byId("train-text").value = set.text;
  const kind = set.task === "line" ? "numbers to predict" : `${set.classes.length} classes`;
  byId("train-about").textContent = `${whole(set.train.n)} samples for training, ${whole(set.test.n)} for testing; ${kind}`;
  reset();
}

const settings = () => ({
  text: byId("train-text").value,
  seed: Number(byId("train-seed").value || NaN),
  batch: Number(byId("train-batch").value || NaN),
  optimizer: { kind: byId("train-optimizer").value, learning_rate: Number(byId("train-rate").value || NaN) },
});

const sizes = () => ({ inputs: product(data.shape), outputs: data.classes.length || 1, limit: LIMIT });

/** A worker, whose core is its own. */
function renew() {
  worker?.terminate();
  worker = startWorker();
  worker.onmessage = ({ data: message }) => receive[message.about](message);
  worker.onerror = (event) => report("train-message", `the training ended: ${event.message || "its worker failed"}`, "error");
  worker.postMessage({ action: "open", wasm });
}

function reset() {
  if (state === "training" || state === "stopping") renew();
  [latest, history] = [null, []];
  enter("new");
  clearViews(data);
  check();
}

function check() {
  if (state !== "new") return; // the worker says at once what it does not accept
  if (answered < asked) renew(); // the last check takes long, as that of a huge network
  asked += 1;
  report("train-message", "Checking the network …");
  worker.postMessage({ action: "check", id: asked, ...settings(), ...sizes() });
}

function enter(next) {
  state = next;
  const words = { new: "Train", training: "Stop", stopping: "Stopping …", stopped: "Train on" };
  byId("train-go").textContent = words[state];
  const resting = state === "stopped" && latest;
  byId("train-save").disabled = !resting;
  byId("train-draw").disabled = !resting || !data.layout;
}

function go() {
  const epochs = Number(byId("train-epochs").value);
  if (!Number.isInteger(epochs) || epochs < 1) throw new Error(`epochs is ${byId("train-epochs").value || "empty"}; accepted: a whole number, 1 or more`);
  report("train-message", "");
  used = settings();
  const { batch, optimizer } = used;
  if (state === "new") {
    const { train, test, plane, task } = data;
    worker.postMessage({ action: "start", ...used, ...sizes(), train, test, plane, task });
  }
  worker.postMessage({ action: "go", until: (latest?.epoch ?? 0) + epochs, batch, optimizer, pause: Number(byId("train-pace").value) });
  enter("training");
}

function stop() {
  enter("stopping");
  worker.postMessage({ action: "stop" });
  setTimeout(() => state === "stopping" && end(), PATIENCE);
}

/** Ends a worker that does not answer; the training continues from the last epoch that it sent. */
function end() {
  renew();
  if (!latest) {
    reset();
    report("train-message", "Stopped before the first epoch ended.");
    return;
  }
  const { train, test, plane, task } = data;
  worker.postMessage({ action: "start", seed: used.seed, model: latest.model, epoch: latest.epoch, train, test, plane, task });
  enter("stopped");
  report("train-message", `Stopped in the middle of an epoch; the network is that of epoch ${latest.epoch}.`);
}

const receive = {
  checked({ id, parameters, bytes }) {
    answered = id;
    if (id === asked && state === "new") report("train-message", `${whole(parameters)} parameters; training takes ${bytesText(bytes)} of memory.`);
  },
  failed({ id, during, message }) {
    if (during === "check") answered = id;
    if (during === "check" && (id !== asked || state !== "new")) return;
    report("train-message", message, "error");
    if (state !== "new") enter(latest ? "stopped" : "new");
  },
  progress(message) {
    latest = message;
    history.push(...message.history);
    showViews(data, latest, history);
    const { train, test } = history.at(-1);
    const words = data.task === "line" ? "" : `, accuracy ${percent(train.accuracy)}, of the test samples ${percent(test.accuracy)}`;
    report("train-message", `Epoch ${message.epoch}: loss ${short(train.loss, 4)}${words}`);
    byId("train-message").dataset.epoch = message.epoch;
  },
  async stopped() {
    enter("stopped");
    byId("train-sum").textContent = await checksum();
  },
};

/** SHA-256 of all parameters, as `pynet info` prints it. */
async function checksum() {
  const net = session.core.load(latest.model);
  const parts = net.tensors.map((_, i) => Uint8Array.from(new Uint8Array(Float32Array.from(net.tensor(i)).buffer)));
  net.free();
  const digest = await crypto.subtle.digest("SHA-256", await new Blob(parts).arrayBuffer());
  const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `Epoch ${latest.epoch}, SHA-256 of the parameters: ${hex}`;
}

/** The trained network with the notes that pynet's own models have. */
function named() {
  const net = session.core.load(latest.model);
  const { batch, optimizer, seed } = used;
  const notes = { dataset: data.name, epochs: latest.epoch, batch_size: batch, learning_rate: optimizer.learning_rate, optimizer: optimizer.kind, seed, made_by: `pynet ${session.core.version} in the browser` };
  if (data.classes.length) notes.classes = JSON.stringify(data.classes);
  notes.inputs = JSON.stringify(inputsOf(data.train.x));
  if (data.layout) notes.pictures = JSON.stringify(data.layout);
  if (data.task === "classes") notes.test_accuracy = history.at(-1).test.accuracy;
  for (const [key, value] of Object.entries(notes)) net.setMeta(key, String(value));
  return net;
}

/** The scale of samples: see pynet/data/inputs.py. */
function inputsOf(x) {
  const [lowest, highest] = [Math.min, Math.max].map((pick) => x.reduce((a, b) => pick(a, b)));
  return { bytes: x instanceof Uint8Array, lowest, highest, whole: x.every(Number.isInteger) };
}

function drawWithIt() {
  openModel(named().save(), `the network trained on ${data.name}`);
  const { test, shape, classes } = data;
  if (test.x instanceof Uint8Array) session.model.examples = { ...test, shape, classes };
  byId("draw").scrollIntoView();
}
