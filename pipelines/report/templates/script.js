"use strict";
// One player at a time; within a group the next one goes on where the last one was.
document.addEventListener("play", (event) => {
  const player = event.target;
  const group = player.closest("[data-group]");
  for (const other of document.querySelectorAll("audio")) {
    if (other === player || other.paused) continue;
    other.pause();
    if (group && group.contains(other)) player.currentTime = other.currentTime;
  }
}, true);

// A link into folded parts opens them.
function unfold() {
  let element = location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
  const target = element;
  for (; element; element = element.parentElement) {
    if (element.tagName === "DETAILS") element.open = true;
  }
  target?.scrollIntoView();
}
window.addEventListener("hashchange", unfold);
unfold();

function made(tag, text = "", name = "") {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  if (name) element.className = name;
  return element;
}

function shown(value, places) {
  return value === null ? "–" : value.toFixed(places).replace("-", "−");
}

const SVG = "http://www.w3.org/2000/svg";

function swatch(kind) {
  const [svg, rect] = ["svg", "rect"].map((tag) => document.createElementNS(SVG, tag));
  svg.setAttribute("viewBox", "0 0 12 12");
  svg.setAttribute("aria-hidden", "true");
  rect.setAttribute("class", `fill ${kind}`);
  for (const [name, value] of [["width", 12], ["height", 12], ["rx", 3]]) rect.setAttribute(name, value);
  svg.append(rect);
  return svg;
}

// What is heard of a pair, by the players of its section.
function listen(section, title) {
  const cell = made("td", "", "listen");
  for (const player of section ? document.querySelectorAll(`#${section} audio`) : []) {
    const what = player.getAttribute("aria-label").split(" of ")[0];
    const button = made("button", what);
    button.type = "button";
    button.setAttribute("aria-label", `${what} of ${title}`);
    button.addEventListener("click", () => (player.paused ? player.play() : player.pause()));
    player.addEventListener("play", () => button.classList.add("playing"));
    player.addEventListener("pause", () => button.classList.remove("playing"));
    cell.append(button);
  }
  return cell;
}

function row([title, artist, difference, offset, gain, decision, other, kind, reason, section]) {
  const line = made("tr");
  const head = made("th");
  head.scope = "row";
  head.append(made("bdi", title), made("br"), made("bdi", other, "soft"));
  const who = made("td");
  who.append(made("bdi", artist));
  line.append(head, who);
  for (const [value, places, label] of [
    [difference, 3, "difference"], [offset, 3, "offset, s"], [gain, 1, "gain, dB"]]) {
    const cell = made("td", shown(value, places), "n");
    cell.dataset.label = label;
    line.append(cell);
  }
  const outcome = made("td");
  const key = made("span", "", "key");
  key.append(swatch(kind), decision);
  outcome.append(key, made("br"), made("span", reason, "soft"));
  line.append(outcome, listen(section, title));
  return line;
}

const STEP = 100;
for (const box of document.querySelectorAll(".all-pairs")) {
  const rows = JSON.parse(document.getElementById(box.dataset.rows).textContent);
  const [find, decision] = [box.querySelector(".find"), box.querySelector(".decision")];
  const [more, order] = [box.querySelector(".more"), box.querySelector(".order")];
  let [column, direction, most] = [-1, 1, 10];
  const compare = (a, b) => {
    const [x, y] = [a[column], b[column]];
    if (x === null || y === null) return (x === null) - (y === null); // what is missing comes last
    return direction * (typeof x === "number" ? x - y : x.localeCompare(y));
  };
  const draw = () => {
    const text = find.value.trim().toLowerCase();
    const found = rows.filter((one) => (!decision.value || one[5] === decision.value)
      && (!text || `${one[0]}\n${one[1]}\n${one[6]}`.toLowerCase().includes(text)));
    if (column >= 0) found.sort(compare);
    box.querySelector("tbody").replaceChildren(...found.slice(0, most).map(row));
    more.hidden = found.length <= most;
    box.querySelector(".found").textContent =
      `${Math.min(most, found.length).toLocaleString("en")} of ${found.length.toLocaleString("en")} shown`;
  };
  const sort = (by, way) => {
    [column, direction] = [by, way];
    order.value = by < 0 ? "" : `${by},${way}`;
    for (const button of box.querySelectorAll(".sort")) {
      const head = button.parentElement;
      head.removeAttribute("aria-sort");
      if (Number(button.dataset.column) !== by) continue;
      head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
    }
    draw();
  };
  for (const button of box.querySelectorAll(".sort")) {
    button.addEventListener("click", () => {
      const by = Number(button.dataset.column);
      sort(by, by === column ? -direction : 1);
    });
  }
  order.addEventListener("change", () => sort(...(order.value || "-1,1").split(",").map(Number)));
  find.addEventListener("input", draw);
  decision.addEventListener("change", draw);
  more.addEventListener("click", () => { most += STEP; draw(); });
  for (const tools of box.querySelectorAll(".tools")) tools.hidden = false;
  draw();
}
