/* pynet's C core, compiled to WebAssembly, as JavaScript. No imports, so that a classic Worker can be made of this text,
 * without its `export`s, too.
 *
 *     const core = await openCore(bytesOf(`pynet-${bestVariant()}.wasm`));
 *     const net = core.net("input(2) dense(16) tanh dense(2) softmax", 1);
 *     const data = { x: new Float32Array([0, 0, 0, 1, 1, 0, 1, 1]), labels: new Int32Array([0, 1, 1, 0]), n: 4 };
 *     for (let epoch = 0; epoch < 200; epoch++) net.train(data, { batch: 4, optimizer: { kind: "adam" } });
 *     net.predict(data.x, 4); // Float32Array of 8 probabilities
 *     net.free();
 *
 * Data is { x, labels or targets, n }: x a Float32Array (n * inputs), or a Uint8Array that means x / 255; labels an
 * Int32Array (n); targets a Float32Array (n * outputs). core.data(data) copies it into the core once, for many calls;
 * free() it. What fails throws an Error with the core's own message, and leaves the network as it was, but for the
 * steps of training before; its `status` is a name of STATUS.
 */

const STATUS = ["ok", "memory", "argument", "spec", "state", "nonfinite", "io", "format", "parameter"];
const OPTIMIZERS = ["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"];
const OPTIONS = ["learning_rate", "momentum", "beta1", "beta2", "epsilon", "l2", "weight_decay", "decay_all",
    "clip_value", "clip_norm"];

/* A module with one f32x4.relaxed_madd: valid where relaxed SIMD is there. */
const RELAXED = [0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 123, 123, 123, 1, 123, 3, 2, 1, 0, 10, 13, 1, 11, 0, 32,
    0, 32, 1, 32, 2, 253, 133, 2, 11];

/* "relaxed", whose results are those of CPUs with fused multiply-add, or "simd". */
export function bestVariant() {
    return WebAssembly.validate(new Uint8Array(RELAXED)) ? "relaxed" : "simd";
}

/* The core from the bytes of its module. Cores share nothing; calls of one core run one at a time. */
export async function openCore(wasmBytes) {
    const { instance } = await WebAssembly.instantiate(wasmBytes, {});
    instance.exports._initialize?.(); /* modules that Zig compiled have it */
    return new Core(instance.exports);
}

function failure(message, status) {
    return Object.assign(new Error(message), { status });
}

function whole(value, name, least = 0) {
    if (!Number.isInteger(value) || value < least || value > 0x7fffffff)
        throw failure(`${name} is ${value}; accepted: a whole number from ${least} to 2147483647`, "argument");
    return value;
}

function number(value, name) {
    if (typeof value !== "number") throw failure(`${name} is ${String(value)}; accepted: a number`, "argument");
    return value;
}

/* An array of this type, unchanged, or a plain array of numbers as one. */
function typed(Type, values, name, length) {
    let array = values;
    if (Array.isArray(values)) {
        const right = Type === Int32Array ? (value) => (value | 0) === value : (value) => typeof value === "number";
        const wrong = values.findIndex((value) => !right(value));
        if (wrong >= 0) throw failure(`${name}[${wrong}] is ${values[wrong]}; accepted: numbers`, "argument");
        array = Type.from(values);
    }
    if (!(array instanceof Type))
        throw failure(`${name} is ${Object.prototype.toString.call(values)}; accepted: ${Type.name}`, "argument");
    if (array.length !== length)
        throw failure(`${name} holds ${array.length} numbers; accepted: ${length}`, "argument");
    return array;
}

export const product = (shape) => shape.reduce((a, b) => a * b, 1);

class Core {
    #wasm;

    constructor(wasm) {
        this.#wasm = wasm;
        this.version = this._string(wasm.web_version());
        this.kernels = this._string(wasm.web_kernels());
    }

    /* A new network from its text. seed: 0 to 2^64 - 1, a number or a BigInt. */
    net(text, seed = 0) {
        if (typeof text !== "string") throw failure(`the text is ${String(text)}; accepted: a string`, "argument");
        return this._call((put) => new Net(this, this.#wasm, this.#wasm.web_new(put(this._text(text)), ...halves(seed))));
    }

    /* The network in the bytes of a model file. */
    load(bytes) {
        if (!(bytes instanceof Uint8Array)) throw failure("the model is no Uint8Array", "argument");
        return this._call((put) => new Net(this, this.#wasm, this.#wasm.web_load(put(bytes), bytes.length)));
    }

    /* The order of n samples in an epoch, as an Int32Array. */
    shuffle(n, seed = 0, epoch = 0) {
        return this._call((put, room) => {
            const order = room(4 * whole(n, "n"));
            this.#wasm.web_shuffle(order, n, ...halves(seed), whole(epoch, "epoch"));
            return this._copy(Int32Array, order, n);
        });
    }

    /* A copy of the data inside the core. */
    data({ x, labels = null, targets = null, n }) {
        const taken = [];
        try {
            return new Data(this, { x, labels, targets, n }, (array) => this._put(array, taken), taken);
        } catch (error) {
            this._release(taken);
            throw error;
        }
    }

    /* ---- for Net and Data ---- */

    /* Runs work(put, room); what they took in the core's memory is freed after it. */
    _call(work) {
        const taken = [];
        try {
            return work(
                (array) => this._put(array, taken),
                (bytes) => this._room(bytes, taken),
            );
        } finally {
            this._release(taken);
        }
    }

    _room(bytes, taken) {
        const place = bytes < 0x7fffffff ? this.#wasm.web_alloc(Math.max(bytes, 1)) : 0;
        if (!place) {
            const used = this.#wasm.memory.buffer.byteLength;
            throw failure(`no memory for ${bytes} bytes; the core has ${used} now and at most 2147483648`, "memory");
        }
        taken.push(place);
        return place;
    }

    /* 0, a NULL, for null */
    _put(array, taken) {
        if (array === null) return 0;
        const place = this._room(array.byteLength, taken);
        const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
        new Uint8Array(this.#wasm.memory.buffer, place, bytes.length).set(bytes);
        return place;
    }

    _release(taken) {
        for (const place of taken.splice(0)) this.#wasm.web_free(place);
    }

    /* A string as its UTF-8 bytes and a zero. */
    _text(string) {
        if (string.includes("\0")) throw failure("the text holds a zero character", "argument");
        return new TextEncoder().encode(`${string}\0`);
    }

    _string(place) {
        if (!place) return null;
        const bytes = new Uint8Array(this.#wasm.memory.buffer, place);
        return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
    }

    _view(Type, place, n) {
        return new Type(this.#wasm.memory.buffer, place, n);
    }

    _copy(Type, place, n) {
        return this._view(Type, place, n).slice();
    }

    _number(i) {
        return this._view(Float64Array, this.#wasm.web_numbers(), OPTIONS.length)[i];
    }
}

/* A seed as two numbers of 32 bits. */
function halves(seed) {
    let bits = -1n;
    if (typeof seed === "bigint" || Number.isSafeInteger(seed)) bits = BigInt(seed);
    if (bits < 0n || bits >> 64n)
        throw failure(`the seed is ${String(seed)}; accepted: a whole number from 0 to 2^64 - 1`, "argument");
    return [Number(bits & 0xffffffffn), Number(bits >> 32n)];
}

/* Data in the core's memory; use it in the place of { x, labels, targets, n } until free(). */
class Data {
    constructor(core, { x, labels, targets, n }, put, taken) {
        this.n = whole(n, "n");
        this.core = core;
        this.bytes = x instanceof Uint8Array || x instanceof Uint8ClampedArray;
        this.features = n ? x.length / n : null; /* of a sample; null: any */
        this.outputs = n && targets ? targets.length / n : null;
        if (!this.bytes && !(x instanceof Float32Array))
            throw failure(`x is ${Object.prototype.toString.call(x)}; accepted: Float32Array, Uint8Array`, "argument");
        this.x = put(x);
        this.labels = labels === null ? 0 : put(typed(Int32Array, labels, "labels", n));
        this.targets = targets === null ? 0 : put(typed(Float32Array, targets, "targets", targets.length));
        this.free = () => {
            core._release(taken);
            this.core = null;
        };
    }
}

class Net {
    #core;
    #wasm;
    #net;

    constructor(core, wasm, net) {
        if (!net) throw failure(core._string(wasm.web_message(0)), STATUS[core._number(0)]);
        this.#core = core;
        this.#wasm = wasm;
        this.#net = net;
        const json = wasm.web_describe(net);
        const about = json ? JSON.parse(core._string(json)) : null;
        wasm.web_free(json);
        if (!about) {
            this.free();
            throw failure("no memory for the description of the network", "memory");
        }
        const seed = BigInt(about.seed);
        Object.assign(this, about, {
            text: core._string(wasm.web_spec(net)),
            seed: seed <= Number.MAX_SAFE_INTEGER ? Number(seed) : seed,
            inputs: product(about.inShape),
            outputs: product(about.outShape),
        });
    }

    /* Steps of training so far. */
    get updates() {
        return this.#wasm.web_updates(this.#live());
    }

    free() {
        this.#wasm.web_free_net(this.#net);
        this.#net = 0;
    }

    /* ---- parameters and notes ---- */

    /* The numbers of tensors[i]: a view, writing changes the network. Ask for it anew after any call of the core, which
       may move its memory. */
    tensor(i) {
        this.#live();
        if (!this.tensors[i]) throw failure(`tensor ${i}; this network has ${this.tensors.length}`, "argument");
        return this.#core._view(Float32Array, this.tensors[i].data, this.tensors[i].size);
    }

    /* The value of a note, or null. */
    meta(key) {
        const notes = this.notes();
        return Object.hasOwn(notes, key) ? notes[key] : null;
    }

    /* value null removes the note. */
    setMeta(key, value) {
        const text = (string) => this.#core._text(String(string));
        this.#core._call((put) =>
            this.#check(this.#wasm.web_set_meta(this.#live(), put(text(key)), value === null ? 0 : put(text(value)))),
        );
    }

    /* All notes, { key: value }. */
    notes() {
        const pairs = [];
        for (let i = 0, key; (key = this.#core._string(this.#wasm.web_meta_key(this.#live(), i))) !== null; i++)
            pairs.push([key, this.#core._string(this.#wasm.web_meta_value(this.#net, i))]);
        return Object.fromEntries(pairs);
    }

    /* The bytes of its model file, as a Uint8Array. */
    save() {
        return this.#core._call((put, room) => {
            this.#check(this.#wasm.web_save(this.#live(), 0, 0));
            const size = this.#core._number(0);
            const buffer = room(size);
            this.#check(this.#wasm.web_save(this.#net, buffer, size));
            return this.#core._copy(Uint8Array, buffer, size);
        });
    }

    /* The bytes of memory that the network will have taken after a prediction of so many rows; with an optimizer, after
       training on batches of so many. */
    bytes(rows, optimizer = null) {
        if (optimizer) this.#optimizer(optimizer);
        this.#check(this.#wasm.web_memory(this.#live(), whole(rows, "rows"), optimizer ? 1 : 0));
        return this.#core._number(0);
    }

    /* ---- training ---- */

    /* Trains on samples order, an Int32Array, or on all, in batches: a step of the optimizer each. optimizer: its kind,
       and options of the names in pynet.h; the others have its defaults. Returns the mean loss and the number of correct
       predictions, each before its step, of samples and steps. An Error has the stats of the steps taken before. */
    train(data, { order = null, batch = 32, optimizer = { kind: "adam" } } = {}) {
        return this.#with(data, (put) => {
            const n = order === null ? data.n : order.length;
            const place = order === null ? 0 : put(typed(Int32Array, order, "order", n));
            this.#optimizer(optimizer);
            const status = this.#wasm.web_train(this.#net, place, n, whole(batch, "batch", 1));
            const stats = this.#stats();
            this.#check(status, { stats });
            return stats;
        });
    }

    /* The four steps of a batch; together they are train() with a batch of data.n. */
    forward(data) {
        this.#with(data, () => this.#check(this.#wasm.web_forward(this.#net)));
    }

    loss(data) {
        return this.#with(data, () => {
            this.#check(this.#wasm.web_loss(this.#net));
            return this.#core._number(0);
        });
    }

    backward() {
        this.#check(this.#wasm.web_backward(this.#live()));
    }

    /* A copy of the gradient of tensors[i], from the last backward(). */
    gradient(i) {
        const size = this.tensor(i).length;
        const place = this.#wasm.web_gradient(this.#net, i);
        if (!place) throw failure(`tensor ${i} has no gradient: it has one after backward(), if it is trained`, "state");
        return this.#core._copy(Float32Array, place, size);
    }

    update(optimizer) {
        this.#optimizer(optimizer);
        this.#check(this.#wasm.web_update(this.#live()));
    }

    /* ---- inference ---- */

    /* The outputs (n * outputs) for x, a Float32Array or Uint8Array of n samples, or for data. */
    predict(x, n = x.n, temperature = 1) {
        const data = x instanceof Data ? x : { x, n };
        return this.#with(data, (put, room) => {
            const y = room(4 * n * this.outputs);
            this.#check(this.#wasm.web_predict(this.#net, number(temperature, "temperature"), y));
            return this.#core._copy(Float32Array, y, n * this.outputs);
        });
    }

    /* The mean loss, and the number of correct predictions, of samples. */
    evaluate(data) {
        return this.#with(data, () => {
            this.#check(this.#wasm.web_evaluate(this.#net));
            const { loss, correct, samples } = this.#stats();
            return { loss, correct, samples };
        });
    }

    /* As forward(), in inference mode: for activation(). */
    infer(data) {
        this.#with(data, () => this.#check(this.#wasm.web_infer(this.#net)));
    }

    /* A copy of the outputs of layers[layer] in the last forward() or infer(), which had n samples. */
    activation(layer, n) {
        this.#live();
        const size = whole(n, "n") * product(this.#layer(layer).outShape);
        return this.#core._call((put, room) => {
            const y = room(4 * size);
            this.#check(this.#wasm.web_activation(this.#net, layer, n, y));
            return this.#core._copy(Float32Array, y, size);
        });
    }

    /* The gradient (n * inputs) with respect to the inputs, in inference mode: of the sum of dy times the outputs of
       layers[layer]; or, dy null, of the mean loss. */
    inputGradient(data, n = data.n, layer = 0, dy = null) {
        if (n !== data.n) throw failure(`n is ${n}; the data has ${data.n} samples`, "argument");
        return this.#with(data, (put, room) => {
            const size = dy === null ? 0 : n * product(this.#layer(layer).outShape);
            const place = dy === null ? 0 : put(typed(Float32Array, dy, "dy", size));
            const dx = room(4 * n * this.inputs);
            this.#check(this.#wasm.web_input_gradient(this.#net, layer, place, dx));
            return this.#core._copy(Float32Array, dx, n * this.inputs);
        });
    }

    /* ---- what they share ---- */

    #live() {
        if (!this.#net) throw failure("this network was freed", "state");
        return this.#net;
    }

    #check(status, more = {}) {
        if (status !== 0)
            throw Object.assign(failure(this.#core._string(this.#wasm.web_message(this.#net)), STATUS[status]), more);
    }

    #layer(i) {
        if (!this.layers[i]) throw failure(`layer ${i}; this network has 0 to ${this.layers.length - 1}`, "argument");
        return this.layers[i];
    }

    #stats() {
        const [loss, correct, samples, steps] = [0, 1, 2, 3].map((i) => this.#core._number(i));
        return { loss: samples ? loss / samples : 0, correct, samples, steps };
    }

    /* Calls work(put, room) with this data as that of the next call. */
    #with(data, work) {
        this.#live();
        return this.#core._call((put, room) => {
            const given = data instanceof Data ? data : new Data(this.#core, { labels: null, targets: null, ...data }, put);
            if (given.core !== this.#core) throw failure("this data was freed, or is that of another core", "state");
            this.#fits("x", given.features, this.inputs);
            this.#fits("targets", given.outputs, this.outputs);
            this.#wasm.web_data(given.x, given.bytes ? 1 : 0, given.labels, given.targets, given.n);
            return work(put, room);
        });
    }

    #fits(name, width, taken) {
        if (width !== null && width !== taken)
            throw failure(`a sample of ${name} has ${width} numbers; this network takes ${taken}`, "argument");
    }

    #optimizer({ kind, ...options }) {
        const i = OPTIMIZERS.indexOf(kind);
        if (i < 0) throw failure(`the optimizer is ${kind}; accepted: ${OPTIMIZERS.join(", ")}`, "argument");
        this.#check(this.#wasm.web_optimizer(i));
        const numbers = this.#core._view(Float64Array, this.#wasm.web_numbers(), OPTIONS.length);
        for (const [name, value] of Object.entries(options)) {
            if (!OPTIONS.includes(name))
                throw failure(`option ${name} of the optimizer; accepted: ${OPTIONS.join(", ")}`, "argument");
            numbers[OPTIONS.indexOf(name)] = number(value, name);
        }
    }
}
