// Opens the page in Chromium, without a network, hands it files as a person would, and prints what it says: node page.mjs CHROMIUM PAGE FILE…
//
// A line of JSON: the heading of each verdict, in order, and every address that the page asked for.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [chromium, page, ...files] = process.argv.slice(2);
const profile = await mkdtemp(join(tmpdir(), "sealgrid-page-"));
const quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const options = ["--headless", "--no-sandbox", ...quiet, `--user-data-dir=${profile}`, "--remote-debugging-pipe", "about:blank"];
const browser = spawn(chromium, options, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
const failed = setTimeout(() => stop("the page did not say anything within a minute"), 60_000);

async function stop(error) {
  clearTimeout(failed);
  browser.kill();
  await new Promise((ended) => (browser.exitCode === null ? browser.once("exit", ended) : ended()));
  await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  if (error) console.error(error);
  process.exit(error ? 1 : 0);
}

// The browser's protocol: JSON messages, a zero byte behind each.
const [answers, requests] = [new Map(), []];
let [rest, next] = ["", 1];
browser.stdio[4].setEncoding("utf8").on("data", (text) => {
  const messages = (rest + text).split("\0");
  rest = messages.pop();
  for (const message of messages.map((text) => JSON.parse(text))) {
    answers.get(message.id)?.(message);
    if (message.method === "Network.requestWillBeSent") requests.push(message.params.request.url);
  }
});
function ask(method, params, sessionId) {
  browser.stdio[3].write(`${JSON.stringify({ id: next, method, params, sessionId })}\0`);
  return new Promise((answer) => answers.set(next++, answer)).then(({ result, error }) => {
    if (error) throw new Error(`${method}: ${error.message}`);
    return result;
  });
}

try {
  const { targetId } = await ask("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await ask("Target.attachToTarget", { targetId, flatten: true });
  const evaluate = async (expression) => {
    const { result } = await ask("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true }, sessionId);
    return result.value;
  };
  const until = async (expression) => {
    for (;;) {
      const value = await evaluate(expression);
      if (value) return value;
      await new Promise((later) => setTimeout(later, 100));
    }
  };
  await ask("Network.enable", {}, sessionId);
  await ask("Page.navigate", { url: pathToFileURL(page).href }, sessionId);
  await until("document.body?.dataset.ready === 'yes'");
  const { root } = await ask("DOM.getDocument", {}, sessionId);
  const { nodeId } = await ask("DOM.querySelector", { nodeId: root.nodeId, selector: "#choose" }, sessionId);
  await ask("DOM.setFileInputFiles", { nodeId, files }, sessionId);
  const headings = await until(
    "[...document.querySelectorAll('#verdicts section > h2')].map((heading) => heading.textContent)" +
      ".reduce((all, heading) => [...(all || []), heading], null)",
  );
  // The browser refuses what the page would ask for; if it did not, this would be among the requests.
  await evaluate("fetch('http://127.0.0.1:9/').then(() => true, () => false)");
  console.log(JSON.stringify({ headings, requests: requests.map((url) => url.split(":")[0]) }));
  await stop();
} catch (error) {
  await stop(error.message);
}
