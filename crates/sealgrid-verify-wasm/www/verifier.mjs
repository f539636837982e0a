// The verifier's module from JavaScript: files in, a verdict out. Nothing here talks to anything.

// The numbers of the files, as src/lib.rs has them.
const PLACES = ["file", "model", "authority", "log"];

/** Compiles the module from its bytes. */
export async function verifier(bytes) {
  const module = await WebAssembly.compile(bytes);
  return (given) => judge(module, given);
}

/**
 * Judges `given.file` (a Uint8Array), with what else stands in `given`: `model`, `authority` and `log`, each a Uint8Array, and `at`, in milliseconds since
 * 1970. Yields `{ exit, verdict }`: what the program `sealgrid-verify` would exit with and print. 0 is accepted and nothing else is.
 */
async function judge(module, given) {
  // Each judgement has an instance of its own, so that none depends on what came before, and a trap ends it alone.
  const { exports } = await WebAssembly.instantiate(module, {});
  try {
    for (const [place, name] of PLACES.entries()) {
      if (given[name] == null) continue;
      const room = exports.sealgrid_room(place, given[name].length) >>> 0;
      if (room === 0) return notJudged(`${name}: ${given[name].length} bytes are too many`);
      new Uint8Array(exports.memory.buffer).set(given[name], room);
    }
    const exit = exports.sealgrid_judge(BigInt(given.at ?? 0)) >>> 0;
    const [start, length] = [exports.sealgrid_verdict() >>> 0, exports.sealgrid_verdict_bytes() >>> 0];
    const text = new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(exports.memory.buffer, start, length));
    return { exit, verdict: JSON.parse(text) };
  } catch (error) {
    // A trap: a panic that nobody knows of yet, a number beyond 32 bits, or no memory; engines call an exhausted stack a RangeError. No verdict,
    // whatever the file is.
    if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) return notJudged(`the verifier stopped: ${error.message}`);
    throw error;
  }
}

function notJudged(error) {
  return { exit: 2, verdict: { error } };
}
