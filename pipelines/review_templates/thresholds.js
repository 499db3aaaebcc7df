const at = (id) => document.getElementById(id);

function percent(share) {
  if (share > 0.999 && share < 1) return "> 99.9";
  return (100 * share).toFixed(share > 0.985 || share < 0.015 ? 1 : 0).replace(".0", "");
}

function number(value) {
  return Number(value.toFixed(4)).toString();
}

function entry(term, detail) {
  const [box, name, value] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
  name.textContent = term;
  value.textContent = detail;
  box.append(name, value);
  return box;
}

function share(found) {
  if (!found) return "not known yet";
  return `${percent(found.value)} % (${percent(found.low)} – ${percent(found.high)})`;
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
      await navigator.clipboard.writeText(at("used-command").textContent);
      at("copy").textContent = "copied";
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
        ? `${number(found.low)} … ${number(found.high)}` : this.missing(name);
      row.querySelector(".estimate").replaceChildren(...(found ? [
        entry("precision", share(found.precision)),
        entry("recall", share(found.recall)),
        entry("keeps", found.keeps.toLocaleString("en")),
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
    at("used-path").textContent = used.path;
    at("used-command").textContent = used.command;
    at("used").hidden = false;
    at("copy").textContent = "copy the command";
    at("used").scrollIntoView({ block: "nearest" });
  }
}
