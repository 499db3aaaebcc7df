import { Player } from "./player.js";

const SOUNDS = ["mixture", "instrumental", "difference"];
const WAITS = { // what a lane has to wait for
  mixture: "waits for the mixture to be decoded",
  instrumental: "waits for the instrumental to be decoded and aligned",
  difference: "waits for both to be decoded",
};
const SETTLE_MS = 250; // whoever skips pairs faster than this wants no sound of them
const at = (id) => document.getElementById(id);

function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

// The pair that is heard: its names, pictures and players.
export class Listening {
  constructor(call) {
    this.call = call;
    this.player = new Player(() => this.ended());
    this.lanes = new Map(
      [...document.querySelectorAll(".lane")].map((lane) => [lane.dataset.sound, lane]));
    this.turns = 0; // what is asked for last is what is shown
    this.prepared = new Map(); // "index/start" → its sounds, for this pair and the next
    this.begun = 0; // when a pair was last asked for
    this.wanted = false; // whether to play as soon as there is something to play
    for (const [name, lane] of this.lanes) {
      lane.querySelector(".pick").addEventListener("click", () => this.pick(name));
      lane.querySelector(".picture").addEventListener("click", (event) => {
        const box = event.currentTarget.getBoundingClientRect();
        this.pick(name);
        this.player.seek(((event.clientX - box.left) / box.width) * this.player.duration);
      });
    }
    at("play").addEventListener("click", () => this.toggle());
    at("position").addEventListener("input", (event) => this.player.seek(Number(event.target.value)));
    at("earlier").addEventListener("click", () => this.turn(-1));
    at("later").addEventListener("click", () => this.turn(1));
    const tick = () => { this.tick(); requestAnimationFrame(tick); };
    requestAnimationFrame(tick);
  }

  // Show a pair, and when it can be heard prepare another one (null for none).
  async open(pair, next) {
    const turn = this.begin();
    this.pair = pair;
    this.name(pair);
    await this.hear(pair.start_s, turn);
    if (next === null || turn !== this.turns) return;
    const other = await this.call(`pairs/${next}`).catch(() => null);
    if (other && turn === this.turns) this.prepare(`${next}/${other.start_s}`).catch(() => {});
  }

  begin() {
    this.turns += 1;
    this.wanted = this.wanted || this.player.playing;
    this.player.load({});
    at("play").disabled = at("position").disabled = true;
    for (const [name, lane] of this.lanes) {
      lane.classList.add("loading");
      lane.querySelector("img").hidden = true;
      lane.querySelector(".trouble").hidden = true;
      lane.querySelector(".waits").textContent = `${WAITS[name]} …`;
    }
    return this.turns;
  }

  name(pair) {
    at("mix-title").textContent = pair.title || "(no title)";
    at("artist").textContent = pair.artist;
    const both = [pair.instrumental_title || "(no title)"];
    if (pair.instrumental_artist !== pair.artist) both.push(pair.instrumental_artist);
    at("instrumental").textContent = both.join(" – ");
  }

  // What prune measured and decided; null while nobody has judged the pair: it would sway.
  reveal(measured) {
    at("blind").hidden = Boolean(measured);
    at("metrics").hidden = at("decided").hidden = !measured;
    at("metrics").replaceChildren(...(measured?.metrics ?? []).map(([name, value, meaning]) => {
      const [entry, term, detail] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
      term.textContent = name;
      detail.textContent = value;
      entry.title = meaning;
      entry.append(term, detail);
      return entry;
    }));
    at("decided").textContent = measured
      ? `prune decided: ${measured.decision} (${measured.reason})` : "";
    this.lanes.get("difference").title = !measured ? "" : measured.subtracted
      ? "mixture − instrumental" : "what the mixture has more than the instrumental, by loudness";
  }

  // The sounds of an excerpt, asked for now or earlier.
  prepare(key) {
    if (!this.prepared.has(key)) {
      const asked = new AbortController();
      const sounds = this.fetch(key, asked.signal);
      sounds.catch(() => {
        if (this.prepared.get(key)?.asked === asked) this.prepared.delete(key);
      });
      this.prepared.set(key, { asked, sounds });
    }
    return this.prepared.get(key).sounds;
  }

  // Hang up on all other sounds: a browser has few connections, and judging needs one.
  giveUp(wanted) {
    for (const [key, { asked }] of this.prepared) {
      if (key === wanted) continue;
      this.prepared.delete(key);
      asked.abort();
    }
  }

  async fetch(key, signal) {
    const facts = await this.call(`pairs/${key}`, null, signal);
    const names = SOUNDS.filter((name) => !facts.errors[name]);
    const buffers = await Promise.all(names.map(async (name) => {
      const response = await fetch(`pairs/${key}/${name}.wav`, { signal });
      if (!response.ok) throw new Error(await response.text());
      return [name, await this.player.decode(await response.arrayBuffer())];
    }));
    return { facts, buffers: Object.fromEntries(buffers) };
  }

  async hear(start, turn) {
    const key = `${this.pair.index}/${start}`;
    const hasty = performance.now() - this.begun < SETTLE_MS;
    this.begun = performance.now();
    this.giveUp(key);
    if (hasty) await new Promise((resolve) => { setTimeout(resolve, SETTLE_MS); });
    if (turn !== this.turns) return;
    let found;
    try {
      found = await this.prepare(key);
    } catch (error) {
      if (turn === this.turns) this.fail(error.message);
      return;
    }
    if (turn !== this.turns) return;
    this.start = start;
    this.player.load(found.buffers);
    for (const [name, lane] of this.lanes) {
      const error = found.facts.errors[name];
      const image = lane.querySelector("img");
      lane.classList.remove("loading");
      lane.querySelector(".waits").textContent = error ? "" : "waits for its picture …";
      lane.querySelector(".trouble").hidden = !error;
      lane.querySelector(".trouble").textContent = error ? `The ${name} cannot be played: ${error}` : "";
      lane.querySelector(".pick").disabled = Boolean(error);
      image.hidden = Boolean(error);
      const drawn = (said) => { if (turn === this.turns) lane.querySelector(".waits").textContent = said; };
      image.onload = () => drawn("");
      image.onerror = () => { image.hidden = true; drawn("its picture did not come"); };
      if (!error) image.src = `pairs/${key}/${name}.png`;
      image.alt = `Spectrogram of the ${name}`;
    }
    const playable = Object.keys(found.buffers);
    if (!playable.includes(this.player.heard) && playable.length) this.pick(playable[0]);
    at("play").disabled = at("position").disabled = !playable.length;
    at("position").max = this.player.duration;
    for (const [place, tick] of [...document.querySelectorAll("#seconds span")].entries()) {
      tick.textContent = clock(start + (found.facts.seconds * place) / 4);
    }
    at("seconds").hidden = !playable.length;
    const length = this.pair.duration_s;
    const whole = !length || length <= this.pair.excerpt_s || length <= found.facts.seconds + 1;
    at("pages").hidden = start === 0 && whole;
    at("earlier").disabled = start <= 0;
    at("later").disabled = !length || start + this.pair.excerpt_s >= length;
    at("span").textContent =
      `${clock(start)} – ${clock(start + found.facts.seconds)} of ${clock(length ?? 0)}`;
    if (this.wanted) this.player.play();
    this.wanted = false;
  }

  fail(message) {
    for (const lane of this.lanes.values()) {
      lane.classList.remove("loading");
      lane.querySelector(".waits").textContent = "";
      lane.querySelector("img").hidden = true;
      lane.querySelector(".trouble").hidden = false;
      lane.querySelector(".trouble").textContent = message;
    }
  }

  toggle() {
    if (at("play").disabled) {
      this.wanted = !this.wanted;
    } else if (this.player.playing) {
      this.player.pause();
    } else {
      this.player.play();
    }
  }

  pick(name) {
    if (this.lanes.get(name).querySelector(".pick").disabled) return;
    this.player.pick(name);
    for (const [other, lane] of this.lanes) {
      lane.querySelector(".pick").setAttribute("aria-pressed", String(other === name));
    }
  }

  skip(seconds) {
    this.player.seek(this.player.position + seconds);
  }

  // The excerpt before (−1) or after (1) this one.
  turn(direction) {
    const length = this.pair?.duration_s ?? 0;
    const last = Math.max(0, Math.ceil(length - this.pair.excerpt_s));
    const start = Math.min(last, Math.max(0, this.start + direction * this.pair.excerpt_s));
    if (start === this.start) return null;
    return this.hear(start, this.begin());
  }

  ended() {
    if (at("later").disabled || at("pages").hidden) return;
    this.wanted = true;
    this.turn(1);
  }

  tick() {
    const { position, duration, playing } = this.player;
    at("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    at("play").classList.toggle("playing", playing);
    if (document.activeElement !== at("position") || playing) at("position").value = position;
    const start = this.start ?? 0;
    at("time").textContent = duration ? `${clock(start + position)} / ${clock(start + duration)}` : "";
    for (const head of document.querySelectorAll(".playhead")) {
      head.style.left = duration ? `${(100 * position) / duration}%` : "0";
    }
  }
}
