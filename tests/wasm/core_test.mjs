/* Tests of pynet/play/core.js: node core_test.mjs core.mjs module.wasm facts.json, the facts by test_core_js.py. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";

const [, , script, wasm, path] = process.argv;
const { openCore, bestVariant } = await import(script);
const facts = JSON.parse(readFileSync(path));
const core = await openCore(readFileSync(wasm));
const x = Uint8Array.from(facts.x);
const labels = Int32Array.from(facts.labels);
const data = { x, labels, n: labels.length };
const adam = { kind: "adam", learning_rate: 0.01 };

function digest(net) {
    const found = createHash("sha256");
    net.tensors.forEach((tensor, i) => found.update(Uint8Array.from(new Uint8Array(net.tensor(i).slice().buffer))));
    return found.digest("hex");
}

/* The message and the status of the Error that is thrown. */
function refused(call) {
    try {
        call();
    } catch (error) {
        assert(error instanceof Error && !(error instanceof WebAssembly.RuntimeError) && !(error instanceof TypeError));
        return `${error.status}: ${error.message}`;
    }
    return assert.fail(`nothing was thrown by ${call}`);
}

assert(["relaxed", "simd"].includes(bestVariant()));
assert.equal(core.version, facts.version);
assert.equal(core.kernels, "simd");

/* ---- training: the weights of Python, for data in JavaScript and in the core, in one call and in four steps ---- */

const net = core.net(facts.text, facts.seed);
const twin = core.net(facts.text, BigInt(facts.seed));
const inside = core.data(data);
for (let epoch = 0; epoch < facts.epochs; epoch++) {
    const order = core.shuffle(data.n, facts.seed, epoch);
    const stats = net.train(data, { order, batch: 50, optimizer: adam });
    assert.equal(stats.loss, facts.losses[epoch]);
    assert.equal(stats.samples, data.n);
    twin.train(inside, { order, batch: 50, optimizer: adam });
}
assert.equal(digest(net), facts.sha256);
assert.equal(digest(twin), facts.sha256);
assert.equal(net.updates, facts.updates);
inside.free();
assert.match(refused(() => twin.train(inside)), /state: this data was freed/);

const part = { x: x.subarray(0, 640), labels: labels.subarray(0, 10), n: 10 };
net.forward(part);
assert(net.loss(part) > 0);
net.backward();
assert(net.gradient(0) instanceof Float32Array && net.gradient(0).some((value) => value !== 0));
net.update(adam);
twin.train(part, { batch: 10, optimizer: adam });
assert.equal(digest(net), digest(twin));

/* ---- description, files, notes ---- */

assert.deepEqual([net.text, net.seed, net.lossName], [facts.text, facts.seed, "cross_entropy"]);
assert.deepEqual([net.inputs, net.outputs, net.inShape, net.outShape], [64, 10, [64], [10]]);
assert.deepEqual(net.layers.map((layer) => layer.path), facts.paths);
assert.deepEqual(net.tensors.map((tensor) => [tensor.name, tensor.shape]), facts.tensors);
assert.equal(net.parameters, facts.parameters);
net.setMeta("classes", '["zéro", "\u{1f600}"]');
net.setMeta("__proto__", "a key like any other");
const again = core.load(net.save());
assert.deepEqual(again.notes(), net.notes());
assert.equal(again.meta("classes"), '["zéro", "\u{1f600}"]');
assert.equal(again.meta("__proto__"), "a key like any other");
assert.equal(again.meta("toString"), null);
assert.equal(digest(again), digest(net));
again.setMeta("classes", null);
assert.equal(again.meta("classes"), null);
writeFileSync(`${path}.safetensors`, net.save());
assert(net.bytes(100, adam) > net.bytes(100) && net.bytes(100) > 4 * net.parameters);

/* ---- inference ---- */

const p = net.predict(part.x, 10);
const soft = net.predict(part.x, 10, 4);
assert.equal(p.length, 100);
assert(Math.max(...soft) < Math.max(...p));
net.infer(part);
assert.deepEqual(net.activation(net.layers.length - 1, 10), p);
const { loss, correct, samples } = net.evaluate(part);
assert(loss > 0 && correct <= 10 && samples === 10);
const dx = net.inputGradient(part, 10, 0, null);
assert.equal(dx.length, 640);
const first = net.layers[0].outShape[0];
assert.equal(net.inputGradient(part, 10, 0, new Float32Array(10 * first).fill(1)).length, 640);
const step = 1e-2; /* the gradient is the slope of the loss */
const floats = Float32Array.from(part.x, (byte) => byte / 255);
const strongest = dx.reduce((best, value, i) => (Math.abs(value) > Math.abs(dx[best]) ? i : best), 0);
const shifted = floats.slice();
shifted[strongest] += step;
const slope = (net.evaluate({ ...part, x: shifted }).loss - net.evaluate({ ...part, x: floats }).loss) / step;
assert(Math.abs(slope - dx[strongest]) < 0.05 * Math.abs(dx[strongest]));

/* ---- growing memory detaches no view that is asked for anew; what is freed is used again ---- */

const before = Array.from(net.tensor(0));
const large = core.net("input(1000) dense(1000) dense(2) softmax", 1);
assert.deepEqual(Array.from(net.tensor(0)), before);
large.free();
assert.match(refused(() => large.predict(new Float32Array(1000), 1)), /state: this network was freed/);
const many = { x: new Uint8Array(64 * 2_000_000), labels: new Int32Array(2_000_000).fill(99), n: 2_000_000 };
for (let i = 0; i < 20; i++) assert.match(refused(() => net.train(many)), /^argument: label of sample 0 is 99/);

/* ---- what is not accepted ---- */

for (const [call, message] of [
    [() => core.net("input(2) dens(3)"), /^spec: column 10: unknown layer "dens"; did you mean dense\?/],
    [() => core.net(undefined), /^argument: the text is undefined/],
    [() => core.net("input(2) dense(2)\0"), /zero character/],
    [() => core.net("input(2) dense(2)", -1), /^argument: the seed is -1/],
    [() => core.net("input(2) dense(2)", 2n ** 64n), /the seed is 18446744073709551616/],
    [() => core.net(`input(2)${" relu".repeat(600_000)}`), /^spec: .* 65536/],
    [() => core.net("input(30000) dense(30000) dense(2)"), /^memory: no memory for 900090002 parameters/],
    [() => core.load(new Uint8Array(5)), /^format: .*5 bytes are too few/],
    [() => core.load("model"), /^argument: the model is no Uint8Array/],
    [() => core.shuffle(-1), /^argument: n is -1/],
    [() => core.shuffle(0x7fffffff), /^memory: no memory for 8589934588 bytes/],
    [() => net.train(data, { optimizer: { kind: "adam", learning_rate: NaN } }), /^argument: learning rate is nan/],
    [() => net.train(data, { optimizer: { kind: "adam", learning_rate: "0.1" } }), /^argument: learning_rate is 0.1/],
    [() => net.train(data, { optimizer: { kind: "adam", rate: 1 } }), /^argument: option rate of the optimizer; accepted/],
    [() => net.train(data, { optimizer: { kind: "lion" } }), /^argument: the optimizer is lion; accepted: sgd/],
    [() => net.train(data, { batch: 0, optimizer: adam }), /^argument: batch is 0/],
    [() => net.train(data, { order: [0, data.n], optimizer: adam }), /^argument: order\[1\] is/],
    [() => net.train(data, { order: [0, 0.5], optimizer: adam }), /^argument: order\[1\] is 0.5/],
    [() => net.train({ x, n: data.n }, { optimizer: adam }), /^argument: no labels/],
    [() => net.train({ ...data, labels: [1, 2] }, { optimizer: adam }), /^argument: labels holds 2 numbers; accepted/],
    [() => net.train({ ...part, labels: new Int32Array(10).fill(10) }, { optimizer: adam }), /^argument: label of sample 0/],
    [() => net.predict(x, data.n - 1), /^argument: a sample of x has/],
    [() => net.predict(new Float64Array(64), 1), /^argument: x is .*Float64Array.*accepted: Float32Array, Uint8Array/],
    [() => net.predict(part.x, 10, 0), /^argument: temperature is 0/],
    [() => net.predict(part.x, 10, "hot"), /^argument: temperature is hot/],
    [() => net.predict(new Float32Array(64).fill(NaN), 1), /^argument: .*nan/],
    [() => net.activation(99, 1), /^argument: layer 99/],
    [() => net.tensor(99), /^argument: tensor 99/],
    [() => net.backward(), /^state: backward comes after/],
    [() => core.net(facts.text).gradient(0), /^state: tensor 0 has no gradient/],
    [() => net.setMeta("pynet", "1"), /^argument: key "pynet" is reserved/],
])
    assert.match(refused(call), message);
const broken = core.net("input(2) dense(2) softmax");
broken.tensor(0)[0] = NaN;
const pair = { x: new Float32Array(2), labels: [1], n: 1 };
assert.match(refused(() => broken.train(pair)), /^parameter: parameter 0.W holds nan/);
console.log("ok");
