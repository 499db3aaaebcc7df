import { Listening } from "./listening.js";
import { Thresholds } from "./thresholds.js";

const VERDICTS = { pair: "pair", not_a_pair: "not a pair", unsure: "unsure" };
const count = Number(document.body.dataset.count);
const at = (id) => document.getElementById(id);

let state = null;
let index = 0;
let busy = false;

function alarm(message) {
  at("alarm").textContent = message;
  at("alarm").hidden = !message;
}

// Ask the server; what it refuses or cannot do is said on the page.
async function call(path, body) {
  const query = new URLSearchParams({ ...thresholds.wish(), current: index });
  const request = body && {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  let response;
  try {
    response = await fetch(`${path}?${query}`, request);
  } catch {
    throw new Error("The review is not running any more; start it again and open its new address.");
  }
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

async function attempt(action) {
  if (busy) return;
  busy = true;
  try {
    await action();
    alarm("");
  } catch (error) {
    alarm(error.message);
  } finally {
    busy = false;
  }
}

const listening = new Listening(call);
const thresholds = new Thresholds(call, attempt, () => attempt(refresh));

function show(found) {
  state = found;
  const judged = count - state.verdicts.filter((verdict) => verdict === null).length;
  const { pair, not_a_pair: not, unsure } = state.counts;
  at("progress").textContent =
    `${judged} of ${count} judged: ${pair} pairs, ${not} not, ${unsure} unsure`;
  for (const verdict of Object.keys(VERDICTS)) {
    at(`bar-${verdict}`).style.width = `${(100 * state.counts[verdict]) / count}%`;
  }
  at("undo").disabled = !state.undo;
  thresholds.show(state);
  showVerdict();
}

function showVerdict() {
  const verdict = state.verdicts[index];
  at("place").textContent = `Pair ${index + 1} of ${count}`;
  at("judged").hidden = !verdict;
  at("judged").className = `badge ${verdict ?? ""}`;
  at("judged").textContent = verdict ? `judged: ${VERDICTS[verdict]}` : "";
  for (const button of document.querySelectorAll("[data-verdict]")) {
    button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
  }
  listening.reveal(Boolean(verdict));
}

async function refresh() {
  show(await call("state"));
}

async function go(to) {
  index = (to + count) % count;
  showVerdict();
  refresh().catch(() => {}); // the histogram marks the pair
  await listening.open(index, followUp());
}

// The pair to prepare while this one is heard: the next that nobody has judged.
function followUp() {
  for (let step = 1; step < count; step += 1) {
    const candidate = (index + step) % count;
    if (state.verdicts[candidate] === null) return candidate;
  }
  return null;
}

const judge = (verdict) => attempt(async () => {
  show(await call("judge", { index, verdict }));
  const next = followUp();
  if (next !== null) go(next);
});

const undo = () => attempt(async () => {
  if (!state.undo) return;
  const request = call("undo", { event: state.undo.event });
  const found = await request.catch(async (error) => {
    await refresh();
    throw error;
  });
  show(found);
  if (found.undone !== null) go(found.undone);
});

const KEYS = {
  " ": () => listening.toggle(),
  1: () => listening.pick("mixture"),
  2: () => listening.pick("instrumental"),
  3: () => listening.pick("difference"),
  ArrowLeft: () => listening.skip(-5),
  ArrowRight: () => listening.skip(5),
  "[": () => listening.turn(-1),
  "]": () => listening.turn(1),
  p: () => judge("pair"),
  n: () => judge("not_a_pair"),
  u: () => judge("unsure"),
  z: undo,
  ",": () => go(index - 1),
  ".": () => go(index + 1),
};

// Whether a key belongs to what has the focus: text to type, a switch to flip, a button to press.
function isTaken(target, key) {
  if (target.matches("input[type=number]")) return true;
  if (target.matches("input[type=range], input[type=radio]")) return key.startsWith("Arrow");
  return key === " " && target.matches("button:focus-visible, summary:focus-visible, a");
}

document.addEventListener("keydown", (event) => {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.altKey || event.metaKey || !(key in KEYS)) return;
  if (isTaken(event.target, key)) return;
  event.preventDefault();
  if (!event.repeat || key.startsWith("Arrow")) KEYS[key]();
});

// A button that a mouse has focused must not be pressed again by the space bar that plays.
document.addEventListener("keyup", (event) => {
  if (event.key === " " && !isTaken(event.target, " ")) event.preventDefault();
});

for (const button of document.querySelectorAll("[data-verdict]")) {
  button.addEventListener("click", () => judge(button.dataset.verdict));
}
at("undo").addEventListener("click", undo);
at("previous").addEventListener("click", () => go(index - 1));
at("next").addEventListener("click", () => go(index + 1));
window.addEventListener("focus", () => attempt(refresh)); // another tab may have judged

await attempt(async () => {
  const found = await call("state");
  state = found;
  index = found.next ?? 0;
  show(found);
});
if (state) go(index);
