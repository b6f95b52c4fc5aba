"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");

  function make(name, attributes = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  function draw(name, attributes, text = "") {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.textContent = text;
    return node;
  }

  /* By the number that both begin with, else as texts; cells without a value come last always. */
  function compare(first, second, sign) {
    if (first === "" || second === "") return (first === "") - (second === "");
    const [a, b] = [Number.parseFloat(first), Number.parseFloat(second)];
    if (Number.isFinite(a) && Number.isFinite(b) && a !== b) return sign * (a - b);
    return sign * first.localeCompare(second, "en", { numeric: true });
  }

  function sortTable(table, heading) {
    const row = heading.parentElement;
    const place = [...row.children].indexOf(heading);
    const descending = heading.getAttribute("aria-sort") === "ascending";
    for (const other of row.children) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const key = (line) => line.children[place].dataset.sort ?? "";
    const body = table.tBodies[0];
    const lines = [...body.rows];
    lines.sort((a, b) => compare(key(a), key(b), descending ? -1 : 1));
    body.append(...lines);
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const button of table.querySelectorAll("button.sort")) {
      button.addEventListener("click", () => sortTable(table, button.closest("th")));
    }
  }

  function setUpTheme() {
    const button = document.getElementById("theme");
    button.hidden = false;
    button.addEventListener("click", () => {
      const preferred = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
      root.dataset.theme = (root.dataset.theme ?? preferred) === "dark" ? "light" : "dark";
    });
  }

  function setUpOptions() {
    for (const options of document.querySelectorAll(".options")) options.hidden = false;
    for (const box of document.querySelectorAll("[data-shows]")) {
      const show = () => {
        root.classList.toggle(`shows-${box.dataset.shows}`, box.checked);
        root.classList.toggle(`hides-${box.dataset.shows}`, !box.checked);
        for (const group of document.querySelectorAll("th.group")) {
          const parts = Number(group.className.match(/parts-(\d)/)[1]);
          group.colSpan = root.classList.contains("hides-published") ? 1 : parts;
        }
      };
      box.addEventListener("change", show);
      show();
    }
  }

  function choice(label, rows, chosen, onChange) {
    const select = make("select", {}, ...rows.map((row) => make("option", { value: row }, row)));
    select.value = chosen;
    select.addEventListener("change", onChange);
    return [make("label", {}, `${label} `, select), select];
  }

  function differenceBars(classes, differences) {
    const [line, left, width, middle, reach] = [18, 98, 400, 245, 105];
    const known = classes.map((name, n) => [name, differences[n]]).filter((pair) => pair[1] !== null);
    known.sort((a, b) => b[1] - a[1]);
    const most = Math.max(1e-9, ...known.map((pair) => Math.abs(pair[1])));
    const height = line * known.length + 4;
    const description = known.map(([name, value]) => `${name} ${value.toFixed(1)}`).join(", ");
    const picture = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": description });
    picture.append(draw("line", { class: "axis", x1: middle, x2: middle, y1: 0, y2: height }));
    known.forEach(([name, value], n) => {
      const length = (Math.abs(value) / most) * reach;
      const x = value < 0 ? middle - length : middle;
      const y = n * line + 3;
      const sign = value < 0 ? "\u2212" : "+";
      picture.append(
        draw("text", { x: left - 8, y: y + 11, "text-anchor": "end" }, name),
        draw("rect", { class: value < 0 ? "worse" : "better", x, y, width: length, height: line - 5 }),
        draw(
          "text",
          { x: value < 0 ? x - 4 : x + length + 4, y: y + 11, "text-anchor": value < 0 ? "end" : "start" },
          `${sign}${Math.abs(value).toFixed(1)}`,
        ),
      );
    });
    return picture;
  }

  function setUpDifferences(tool) {
    const data = JSON.parse(document.getElementById(`classes-${tool.dataset.classes}`).textContent);
    const rows = Object.keys(data.rows);
    if (rows.length < 2) return;
    const show = () => {
      const [a, b] = [data.rows[first.value], data.rows[second.value]];
      const differences = a.map((value, n) => (value === null || b[n] === null ? null : value - b[n]));
      tool.querySelector("svg")?.remove();
      tool.append(differenceBars(data.classes, differences));
    };
    const [firstLabel, first] = choice("Difference in percentage points:", rows, rows[rows.length - 1], show);
    const [secondLabel, second] = choice("minus", rows, rows[0], show);
    tool.append(firstLabel, secondLabel);
    tool.hidden = false;
    show();
  }

  function setUpGallery(tool) {
    const gallery = tool.nextElementSibling;
    const rows = JSON.parse(gallery.dataset.rows);
    const pairs = rows.flatMap((a, n) => rows.slice(n + 1).map((b) => [a, b]));
    const orders = new Map([["mean error", (errors) => mean(Object.values(errors))]]);
    for (const row of rows) orders.set(`error of ${row}`, (errors) => errors[row] ?? -1);
    for (const [a, b] of pairs) {
      orders.set(`disagreement of ${a} and ${b}`, (errors) => (a in errors && b in errors ? Math.abs(errors[a] - errors[b]) : -1));
    }
    const show = () => {
      const value = (strip) => orders.get(select.value)(JSON.parse(strip.dataset.errors));
      gallery.append(...[...gallery.children].sort((a, b) => value(b) - value(a)));
    };
    const [label, select] = choice("Largest first:", [...orders.keys()], "mean error", show);
    tool.append(label);
    tool.hidden = false;
  }

  function mean(values) {
    return values.reduce((sum, value) => sum + value, 0) / values.length;
  }

  setUpTheme();
  setUpOptions();
  document.querySelectorAll(".difference-tool").forEach(setUpDifferences);
  document.querySelectorAll(".gallery-tool").forEach(setUpGallery);
  window.addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details")) part.open = true;
  });
})();
