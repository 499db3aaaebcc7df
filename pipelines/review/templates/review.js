import { Listening } from "./listening.js";
import { Thresholds } from "./thresholds.js";

const VERDICTS = { pair: "pair", not_a_pair: "not a pair", unsure: "unsure" };
const ENDED = "The review is not running any more; start it again and open its new address.";
const count = Number(document.body.dataset.count);
const at = (id) => document.getElementById(id);

let state = null;
let index = 0;
let busy = false; // while a judgement is on its way, so that none falls on a pair just shown
let asked = 0;
let shown = 0;

function alarm(message) {
  at("alarm").textContent = message;
  at("alarm").hidden = !message;
}

// Ask the server; what it refuses or cannot do is said on the page.
async function call(path, body, signal) {
  const query = new URLSearchParams({ ...thresholds.wish(), current: index });
  const request = body ? {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  } : { signal };
  let response;
  try {
    response = await fetch(`${path}?${query}`, request);
  } catch {
    throw new Error(ENDED);
  }
  if (response.status === 404) throw new Error(ENDED); // another process, with another token
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

async function attempt(action) {
  if (busy) return;
  setBusy(true);
  try {
    await action();
    alarm("");
  } catch (error) {
    alarm(error.message);
  } finally {
    setBusy(false);
  }
}

function setBusy(value) {
  busy = value;
  document.body.setAttribute("aria-busy", String(value));
}

const listening = new Listening(call);
const thresholds = new Thresholds(call, attempt, refresh);

// Ask for the state, or for a change of it; an answer that a later one has overtaken is dropped.
async function ask(path, body) {
  asked += 1;
  const number = asked;
  const found = await call(path, body);
  if (number > shown) {
    shown = number;
    show(found);
  }
  return found;
}

function show(found) {
  state = found;
  const judged = count - state.verdicts.filter((verdict) => verdict === null).length;
  const { pair, not_a_pair: not, unsure } = state.counts;
  at("progress").textContent =
    `${judged === count ? "all" : `${judged} of`} ${count} judged: ${pair} pair${pair === 1 ? "" : "s"}, ${not} not, ${unsure} unsure`;
  for (const verdict of Object.keys(VERDICTS)) {
    at(`bar-${verdict}`).style.width = `${(100 * state.counts[verdict]) / count}%`;
  }
  at("undo").disabled = !state.undo;
  thresholds.show(state);
  if (listening.pair) showVerdict();
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
  listening.reveal(verdict && state.current === index ? state.measured : null);
}

async function refresh() {
  await ask("state").catch((error) => alarm(error.message));
}

// Show another pair: its number, names and verdict change at once, so that no key judges a pair that
// is not on the page. Its sound follows when it is ready.
async function go(to) {
  const wanted = (to + count) % count;
  const pair = await call(`pairs/${wanted}`);
  index = wanted;
  showVerdict();
  listening.open(pair, followUp());
  refresh(); // the histogram marks the pair
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
  await ask("judge", { index, verdict });
  const next = followUp();
  if (next !== null) await go(next); // else it stays, and shows what was measured
});

const undo = () => attempt(async () => {
  if (!state.undo) return;
  const request = ask("undo", { event: state.undo.event });
  const found = await request.catch(async (error) => {
    await refresh();
    throw error;
  });
  if (found.undone !== null) await go(found.undone);
});

const move = (step) => attempt(() => go(index + step));

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
  ",": () => move(-1),
  ".": () => move(1),
};

// Whether a key belongs to what has the focus: text to type, a switch to flip, a button to press.
function isTaken(target, key) {
  if (target.matches("input[type=number]")) return true;
  if (target.matches("input[type=range], input[type=radio]")) return key.startsWith("Arrow");
  return key === " " && target.matches("button, summary, a");
}

const PLACES = { Comma: ",", Period: ".", BracketLeft: "[", BracketRight: "]" };

// What a key means. Where letters are not Latin, or digits need the shift key, its place says it.
function meant(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key in KEYS || /^[a-z]/i.test(key)) return key;
  const [, letter, digit] = /^(?:Key([A-Z])|Digit(\d))$/.exec(event.code) ?? [];
  if (digit) return digit;
  return /^\p{L}$/u.test(key) ? letter?.toLowerCase() ?? PLACES[event.code] ?? key : key;
}

document.addEventListener("keydown", (event) => {
  const key = meant(event);
  if (!(key in KEYS) || event.metaKey) return;
  // many keyboards have brackets only beside Alt or AltGr, which some systems say as Ctrl and Alt
  const bracket = "[]".includes(key) && (event.altKey || event.getModifierState("AltGraph"));
  if ((event.ctrlKey || event.altKey) && !bracket) return;
  if (isTaken(event.target, key)) return;
  event.preventDefault();
  if (!event.repeat || key.startsWith("Arrow")) KEYS[key]();
});

// What a mouse has pressed gives the focus back: the space bar is to play, not to press it again.
document.addEventListener("click", (event) => {
  if (event.detail > 0) event.target.closest("button, summary")?.blur();
});

for (const button of document.querySelectorAll("[data-verdict]")) {
  button.addEventListener("click", () => judge(button.dataset.verdict));
}
at("undo").addEventListener("click", undo);
at("previous").addEventListener("click", () => move(-1));
at("next").addEventListener("click", () => move(1));
window.addEventListener("focus", refresh); // another tab may have judged

await attempt(async () => {
  await ask("state");
  await go(state.next ?? 0);
});
