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
  if (!found) return entry(term, "?", "not known yet");
  return entry(term, `${percent(found.value)} %`, `${percent(found.low)} – ${percent(found.high)}`);
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
    at("use").disabled = !state.estimates[this.chosen];
    at("unseen").hidden = !state.unseen;
    at("unseen").textContent = state.unseen
      ? `${state.unseen.toLocaleString("en")} pairs lie where nothing is judged for sure yet; `
        + "no estimate speaks for them." : "";
  }

  missing(name) {
    if (name === "hand") return "";
    if (name === "run") return "not recorded";
    return "none yet: judge some pairs";
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
