// Where the page gets its files from: the server, or, in a saved page, itself; and how it starts a worker.

import { unpacked } from "./datafiles.js";

/** The bytes of a file of the page; null: it has none. */
export async function fileOf(name) {
  const inside = document.getElementById(name); // gzip and base64, see pynet/play/page.py
  if (inside) return unpacked(Uint8Array.from(atob(inside.textContent), (c) => c.charCodeAt(0)), "gzip", name, 1e9);
  if (location.protocol === "file:") return null;
  const response = await fetch(name);
  return response.ok ? new Uint8Array(await response.arrayBuffer()) : null;
}

export function startWorker() {
  const inside = document.getElementById("worker-source");
  if (!inside) return new Worker("worker.js", { type: "module" });
  return new Worker(URL.createObjectURL(new Blob([inside.textContent], { type: "text/javascript" })));
}
