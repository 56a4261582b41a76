// Trains off the page's thread, so that it never freezes. Messages in: {action: "open" | "check" | "start" | "go" |
// "stop", ...}; out: {about: "checked" | "progress" | "stopped" | "failed", ...}. An epoch is trained as pynet's fit does, in the
// same order and batches, so the same seed gives the same bits.

import { openCore } from "./core.js";

const CALL = 50; // milliseconds of one call of the core: a stop waits for it
const VIEW = 120; // milliseconds between two pictures of the training
const GRID = 60; // points of the decision boundary on a side
const LINE = 64; // points of a fitted line

let core = null; // a promise
let run = null;

const channel = new MessageChannel();
/** Lets messages in. */
const turn = () =>
  new Promise((resolve) => {
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(0);
  });

self.onmessage = async ({ data }) => {
  try {
    if (data.action === "open") core = openCore(data.wasm);
    else if (data.action === "check") self.postMessage({ about: "checked", id: data.id, ...tried(await core, data) });
    else if (data.action === "start") await start(await core, data);
    else if (data.action === "go") await go(await core, data);
    else if (run) run.going = false;
  } catch (error) {
    if (run) run.going = false;
    self.postMessage({ about: "failed", during: data.action, id: data.id, message: error.message });
  }
};

/** Tries a network on samples of this size. Error: the core's own message, or that it would not fit. */
function tried(opened, { text, seed, batch, optimizer, inputs, outputs, limit }) {
  const net = opened.net(text, seed);
  try {
    const differ = (what, has, wanted) => new Error(`the network has ${has} ${what}, the data have ${wanted}`);
    if (net.inputs !== inputs) throw differ("inputs", net.inputs, inputs);
    if (net.outputs !== outputs && !(outputs === 2 && net.outputs === 1)) throw differ("outputs", net.outputs, outputs);
    checkBatch(batch);
    const bytes = net.bytes(batch, optimizer);
    const [needed, most] = [bytes, limit].map((size) => Math.round(size / 1e6));
    if (bytes > limit) throw new Error(`training needs ${needed} MB of memory; accepted here: up to ${most} MB, by fewer units or a smaller batch`);
    const two = { x: new Float32Array(2 * inputs), targets: new Float32Array(2 * net.outputs), n: 2 };
    net.train(net.lossName === "cross_entropy" ? { ...two, targets: null, labels: new Int32Array(2) } : two, { batch, optimizer });
    return { parameters: net.parameters, bytes };
  } finally {
    net.free();
  }
}

function checkBatch(batch) {
  if (!Number.isInteger(batch) || batch < 1) throw new Error(`the batch is ${batch}; accepted: a whole number, 1 or more`);
}

async function start(opened, { model, epoch = 0, train, test, plane, task, ...wanted }) {
  for (const part of [run?.net, run?.train, run?.test]) part?.free();
  run = null;
  if (!model) tried(opened, wanted);
  const net = model ? opened.load(model) : opened.net(wanted.text, wanted.seed);
  const single = net.outputs === 1 && train.labels;
  const copied = (part) => opened.data(single ? { x: part.x, targets: Float32Array.from(part.labels), n: part.n } : part);
  run = { net, seed: wanted.seed, epoch, train: copied(train), test: copied(test), plane, task, going: false, history: [], viewed: 0, cost: 0, turned: 0 };
  measure();
  view();
}

/** Trains until the epoch `until`. */
async function go(opened, { until, batch, optimizer, pause }) {
  const mine = run;
  if (!mine) return; // the start failed, and its message is sent
  checkBatch(batch);
  mine.going = true;
  while (mine === run && mine.going && mine.epoch < until) {
    const begin = performance.now();
    const stats = await epoch(opened, mine, batch, optimizer);
    if (!stats) break;
    mine.epoch += 1;
    measure(stats);
    if (performance.now() - mine.viewed > Math.max(VIEW, 5 * mine.cost)) view();
    while (mine.going && performance.now() - begin < pause) await new Promise((resolve) => setTimeout(resolve, 5));
    await turn();
  }
  if (mine !== run) return;
  mine.going = false;
  view();
  self.postMessage({ about: "stopped", epoch: mine.epoch });
}

/** One epoch, in calls of about CALL milliseconds; null: it was stopped, and the next call continues in its middle. */
async function epoch(opened, mine, batch, optimizer) {
  const { net, train, seed } = mine;
  mine.part ??= { order: opened.shuffle(train.n, seed, mine.epoch), steps: Math.ceil(train.n / batch), step: 0, loss: 0, correct: 0, samples: 0 };
  const { part } = mine;
  const [size, larger] = [Math.floor(train.n / part.steps), train.n % part.steps]; // as pn_net_train divides an epoch
  for (let atOnce = 1; part.step < part.steps; ) {
    const [alike, rows] = part.step < larger ? [larger - part.step, size + 1] : [part.steps - part.step, size];
    const count = Math.min(atOnce, alike);
    const begin = performance.now();
    const found = net.train(train, { order: part.order.slice(part.samples, part.samples + count * rows), batch: rows, optimizer });
    part.loss += found.loss * found.samples;
    part.correct += found.correct;
    part.samples += found.samples;
    part.step += count;
    atOnce = Math.max(1, Math.min(Math.floor((CALL * count) / Math.max(performance.now() - begin, 0.01)), 4 * count));
    if (performance.now() - mine.turned > CALL / 2) {
      await turn();
      mine.turned = performance.now();
    }
    if (mine !== run || (!mine.going && part.step < part.steps)) return null;
  }
  mine.part = null;
  return { ...part, loss: part.loss / part.samples };
}

/** Loss and accuracy after an epoch. */
function measure(stats = null) {
  const of = ({ loss, correct, samples }) => ({ loss, accuracy: correct / samples });
  const train = stats ? of(stats) : of(run.net.evaluate(run.train));
  run.history.push({ epoch: run.epoch, train, test: of(run.net.evaluate(run.test)) });
}

/** Sends what the page draws. */
function view() {
  const begin = performance.now();
  const { net, test, plane, task } = run;
  const first = net.tensors.findIndex((tensor) => tensor.trained && tensor.shape.length > 1);
  const message = { about: "progress", epoch: run.epoch, history: run.history, outputs: net.predict(test), width: net.outputs, model: net.save() };
  if (first >= 0) {
    const { name, shape, layer } = net.tensors[first];
    message.weights = { name, shape, values: Float32Array.from(net.tensor(first)), inShape: net.layers[layer].inShape };
  }
  if (plane) message.plane = net.predict(task === "line" ? alongX(plane) : acrossPlane(plane), task === "line" ? LINE : GRID * GRID);
  run.history = [];
  self.postMessage(message);
  run.viewed = performance.now();
  run.cost = run.viewed - begin;
}

const alongX = ([left, , right]) => Float32Array.from({ length: LINE }, (_, i) => left + ((right - left) * i) / (LINE - 1));

function acrossPlane([left, bottom, right, top]) {
  const points = new Float32Array(2 * GRID * GRID);
  for (let i = 0; i < GRID * GRID; i++) {
    points[2 * i] = left + ((right - left) * ((i % GRID) + 0.5)) / GRID;
    points[2 * i + 1] = top - ((top - bottom) * (Math.floor(i / GRID) + 0.5)) / GRID;
  }
  return points;
}
