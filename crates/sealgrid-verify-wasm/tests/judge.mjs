// Judges files with the module, for tests and measurements: node judge.mjs MODULE CASES [TIMES]
//
// CASES is a file of JSON, a list of { file, model, authority, log, at }: paths, any but the first of which may be absent, and a time. Prints a line of
// JSON for each: what the program would exit with, its verdict, and what each of TIMES judgements took (one if it is not given): milliseconds by the clock,
// and of processor time, the engine's own threads included.

import { readFile } from "node:fs/promises";

import { verifier } from "../www/verifier.mjs";

const [modulePath, casesPath, times = "1"] = process.argv.slice(2);
const judge = await verifier(await readFile(modulePath));
for (const { at, ...paths } of JSON.parse(await readFile(casesPath, "utf8"))) {
  const given = { at };
  for (const [name, path] of Object.entries(paths)) {
    if (path) given[name] = new Uint8Array(await readFile(path));
  }
  const took = [];
  let judged;
  for (let count = 0; count < Number(times); count += 1) {
    const [start, used] = [performance.now(), process.cpuUsage()];
    judged = await judge(given);
    const { user, system } = process.cpuUsage(used);
    took.push([performance.now() - start, (user + system) / 1000]);
  }
  console.log(JSON.stringify({ ...judged, took }));
}
