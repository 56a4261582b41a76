// Section 7: the user's own models and data, chosen or dropped anywhere on the page.

import { attempt, byId, bytesText, make, report, whole } from "./dom.js";
import { fromFiles } from "./datasets.js";
import { openModel } from "./model.js";
import { session } from "./session.js";
import { use } from "./train.js";

const LARGEST = 256e6; // bytes of a file

export function startOpen() {
  byId("open-file").onchange = (event) => open([...event.target.files]).then(() => (event.target.value = ""));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dropping"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    open([...event.dataTransfer.files]);
  });
}

async function open(files) {
  if (!files.length) return;
  await attempt("open-message", async () => {
    for (const file of files)
      if (file.size > LARGEST) throw new Error(`${file.name} has ${bytesText(file.size)}; accepted here: up to ${bytesText(LARGEST)}`);
    const read = await Promise.all(files.map(async (file) => ({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) })));
    if (/\.safetensors$/i.test(files[0].name)) openNamed(read[0]);
    else openData(await fromFiles(read));
  });
  if (byId("open-message").classList.contains("error")) byId("open").scrollIntoView({ block: "nearest" });
}

function openNamed({ name, bytes }) {
  try {
    openModel(bytes, name);
  } catch (error) {
    throw new Error(`${name}: ${error.message}`);
  }
  const { net } = session;
  report("open-message", `${name}: ${net.text}, ${whole(net.parameters)} parameters. Draw in section 1.`, "good");
  const notes = Object.entries(net.notes()).filter(([, value]) => value.length < 80);
  byId("open-notes").replaceChildren(...notes.flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, value)]));
}

function openData(data) {
  use(data);
  report("open-message", `${data.name}: ${whole(data.train.n + data.test.n)} samples of ${data.shape.join(" × ")}. Train on them in section 6.`, "good");
  byId("train").scrollIntoView();
}
