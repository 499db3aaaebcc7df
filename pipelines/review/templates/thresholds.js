const WAITS = { precision: "waits for a sure verdict inside", recall: "waits for a pair" };
const at = (id) => document.getElementById(id);

function percent(share) {
  if (share > 0.999 && share < 1) return "> 99.9";
  return (100 * share).toFixed(share > 0.985 || share < 0.015 ? 1 : 0).replace(".0", "");
}

function number(value) {
  return Number(value.toFixed(4)).toString();
}

function range({ low, high }) {
  return `${number(low)} … ${number(high)}`;
}

function entry(term, detail, interval = "") {
  const [box, name, value, around] =
    ["div", "dt", "dd", "small"].map((tag) => document.createElement(tag));
  name.textContent = term;
  value.textContent = detail;
  around.textContent = interval;
  value.append(" ", around);
  box.append(name, value);
  return box;
}

function share(term, found) {
  if (!found) return entry(term, "?", WAITS[term]);
  return entry(term, `${percent(found.value)} %`, `${percent(found.low)} – ${percent(found.high)}`);
}

// What has been judged so far, and how many judgements would settle the share of pairs.
function rate(found) {
  if (!found) return "The rate of pairs waits for the first sure verdict.";
  const many = (count) => count.toLocaleString("en");
  const points = Math.round(100 * found.within);
  const so = `Of ${many(found.judged)} sure verdict${found.judged === 1 ? "" : "s"} `
    + `${percent(found.value)} % say pair (${percent(found.low)} – ${percent(found.high)}). `;
  const more = found.asked - found.judged;
  if (more <= 0) return `${so}That is enough to know the rate within ±${points} points.`;
  const larger = found.asked > found.sample
    ? `, more than this sample holds: review again with --sample ${found.asked}` : "";
  return `${so}To know it within ±${points} points, this rate asks for ${found.all ? "all " : ""}${many(found.asked)}: `
    + `${many(more)} more${larger}.`;
}

// The histogram, the windows that people's judgements suggest, and using one of them.
export class Thresholds {
  constructor(call, attempt, changed) {
    this.call = call;
    this.rows = new Map([...document.querySelectorAll(".criterion")]
      .map((row) => [row.dataset.criterion, row]));
    this.estimates = {};
    for (const row of this.rows.values()) {
      row.querySelector("input[type=radio]").addEventListener("change", changed);
    }
    let waiting = 0;
    for (const [id, name] of [["target", "target"], ["low", "hand"], ["high", "hand"]]) {
      at(id).addEventListener("input", () => {
        at(`criterion-${name}`).checked = true;
        clearTimeout(waiting);
        waiting = setTimeout(changed, 250);
      });
    }
    at("use").addEventListener("click", () => attempt(() => this.use()));
    at("copy").addEventListener("click", async () => {
      const copied = navigator.clipboard.writeText(at("used-command").textContent);
      at("copy").textContent = await copied.then(() => "copied", () => "select it and copy by hand");
    });
  }

  get chosen() {
    return document.querySelector("input[name=criterion]:checked").value;
  }

  // What the server should estimate.
  wish() {
    const wish = { chosen: this.chosen };
    const target = at("target").valueAsNumber / 100;
    if (target > 0 && target <= 1) wish.target = target;
    if (at("low").value && at("high").value) {
      wish.low = at("low").value;
      wish.high = at("high").value;
    }
    return wish;
  }

  show(state) {
    this.estimates = state.estimates;
    this.counts = state.counts;
    const parsed = new DOMParser().parseFromString(state.histogram, "image/svg+xml");
    at("histogram").replaceChildren(document.importNode(parsed.documentElement, true));
    at("other-key").hidden = !at("histogram").querySelector(".bar.other");
    for (const [name, row] of this.rows) {
      const found = state.estimates[name];
      row.classList.toggle("empty", !found);
      row.querySelector(".window").textContent = found
        ? range(found) : this.missing(name);
      row.querySelector(".estimate").replaceChildren(...(found ? [
        share("precision", found.precision),
        share("recall", found.recall),
        entry("keeps", found.keeps.toLocaleString("en"), found.keeps === 1 ? "pair" : "pairs"),
      ] : []));
    }
    at("rate").textContent = rate(state.rate);
    at("use").disabled = !state.estimates[this.chosen];
    at("unseen").hidden = !state.unseen;
    at("unseen").textContent = state.unseen
      ? `${state.unseen.toLocaleString("en")} pairs lie where nothing is judged for sure yet; `
        + "no estimate speaks for them." : "";
  }

  missing(name) {
    if (name === "hand") return "waits for two numbers, min ≤ max";
    if (name === "run") return "prune recorded no thresholds";
    if (this.counts.pair === 0) return "waits for the first pair that you call one";
    return name === "target" ? "no window of the judged pairs reaches it yet"
      : "waits for a pair that prune's other criteria let pass";
  }

  async use() {
    const { low, high } = this.estimates[this.chosen];
    const used = await this.call("use", { low, high, criterion: this.chosen });
    at("used-window").textContent = range({ low, high });
    at("used-path").textContent = used.path;
    at("used-command").textContent = used.command;
    at("used").hidden = false;
    at("copy").textContent = "copy the command";
    at("used").scrollIntoView({ block: "nearest" });
  }
}
