// Applies patches with the decoder inside the official JavaScript SDK.
//
//   node delta.js BUNDLE < cases > results
//
// A case is a line `FORM OLD PATCH`, a result a line: what the decoder made, in Base64, or `!` and
// its error. OLD is Base64. FORM `text`: PATCH is the JSON string of a JSON publication, read as
// the SDK reads it. FORM `bytes`: PATCH is Base64 and neither it nor what it makes is text.
"use strict";

const fs = require("node:fs");
const vm = require("node:vm");

const source = fs.readFileSync(process.argv[2], "utf8");

// The SDK's codec for JSON in a global scope with the given text classes.
function codec(TextEncoder, TextDecoder) {
  const scope = vm.createContext({ TextEncoder, TextDecoder, Uint8Array, setTimeout, clearTimeout });
  vm.runInContext(source, scope);
  const client = new scope.Centrifuge("ws://localhost", { websocket: class {} });
  return client._codec;
}

// Binary patches go through the same decoder when encoding text changes nothing.
class Same {
  encode(bytes) {
    return bytes;
  }
  decode() {
    return "null";
  }
}

const codecs = { text: codec(TextEncoder, TextDecoder), bytes: codec(Same, Same) };

function run(line) {
  const [form, old, ...rest] = line.split(" ");
  const patch = rest.join(" ");
  const data = form === "text" ? JSON.parse(patch) : new Uint8Array(Buffer.from(patch, "base64"));
  const base = new Uint8Array(Buffer.from(old, "base64"));
  try {
    const made = codecs[form].applyDeltaIfNeeded({ data, delta: true }, base);
    return Buffer.from(made.newPrevValue).toString("base64");
  } catch (error) {
    return "!" + error.message;
  }
}

const cases = fs.readFileSync(0, "utf8").split("\n").filter((line) => line !== "");
process.stdout.write(cases.map((line) => run(line) + "\n").join(""));
