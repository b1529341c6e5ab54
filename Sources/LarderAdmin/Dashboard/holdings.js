// What the store holds, by one of four things; and the map of heat by age.
import { bar, byID, el, isolated, redraw, table } from "./dom.js";
import { bytes, count, duration, name, ratio } from "./format.js";

/** Rows that are shown; what is smaller is one row. */
const rowLimit = 20;

const groupings = {
  namespace: (row) => name(row.namespace) || "(gone)",
  model: (row) => (row.model === 0 ? "of no session" : `${name(row.model_name) || "(no name)"} (${row.model})`),
  component: (row) => `${name(row.component_name) || row.component} of ${name(row.model_name) || "no session"}`,
  encoding: (row) => row.encoding,
};

/** Rows of usage put together by what they are called, the largest first. */
export function grouped(rows, by) {
  const sums = new Map();
  for (const row of rows) {
    const label = groupings[by](row);
    const sum = sums.get(label) ?? { label, chunks: 0, raw: 0, stored: 0 };
    sum.chunks += row.chunks;
    sum.raw += row.raw_bytes;
    sum.stored += row.stored_bytes;
    sums.set(label, sum);
  }
  const sorted = [...sums.values()].sort((one, other) => other.stored - one.stored);
  const small = sorted.splice(rowLimit);
  if (small.length > 0) {
    const add = (key) => small.reduce((all, sum) => all + sum[key], 0);
    sorted.push({ label: `${count(small.length)} smaller ones`, chunks: add("chunks"), raw: add("raw"),
      stored: add("stored") });
  }
  return sorted;
}

export class Holdings {
  #usage = null;
  #by = "namespace";

  constructor() {
    byID("grouping").addEventListener("change", (event) => {
      this.#by = event.target.value;
      if (this.#usage) this.#draw();
    });
  }

  /** Takes an answer of `/v1/usage`. */
  take(usage) {
    this.#usage = usage;
    this.#draw();
  }

  /** Says why there is none. */
  fail(message) { redraw(byID("holds"), message, () => el("p", { class: "hint" }, message)); }

  #draw() {
    const rows = grouped(this.#usage.rows, this.#by);
    const all = rows.reduce((sum, row) => sum + row.stored, 0);
    redraw(byID("holds"), [rows, this.#by], () => rows.length === 0 ? el("p", { class: "hint" }, "Nothing yet.")
      : table(`Stored, by ${this.#by}`,
        [
          { title: this.#by[0].toUpperCase() + this.#by.slice(1), head: true }, { title: "" },
          { title: "Stored", number: true }, { title: "Raw", number: true }, { title: "Ratio", number: true },
          { title: "Chunks", number: true },
        ],
        rows.map((row) => [
          isolated(row.label), bar(row.stored / Math.max(1, all)), bytes(row.stored), bytes(row.raw),
          ratio(row.raw, row.stored), count(row.chunks),
        ]), { key: "holds" }));
  }
}

/** `< 1 min`, `1 min to 10 min`, `> 7 d`. */
function between(bounds, index, text) {
  if (index === 0) return `< ${text(bounds[0])}`;
  if (index === bounds.length) return `≥ ${text(bounds.at(-1))}`;
  return `${text(bounds[index - 1])} to ${text(bounds[index])}`;
}

/** The shade of a cell, 0 to 5: of the largest part that any cell has, by its square root. */
const shade = (part) => (part === 0 ? 0 : Math.min(5, 1 + Math.floor(4.999 * Math.sqrt(part))));

/** Draws an answer of `/v1/heat`: a table whose cells are coloured. */
export function drawHeat({ age_bounds_seconds: ages, heat_bounds: heats, cells }) {
  redraw(byID("heat"), [ages, heats, cells], () => {
    const stored = new Map(cells.map((cell) => [`${cell.age} ${cell.heat}`, cell]));
    const most = Math.max(1, ...cells.map((cell) => cell.stored_bytes));
    const minus = (value) => String(value).replace("-", "−");
    const rows = [];
    for (let heat = heats.length; heat >= -1; heat -= 1) {
      const label = heat === -1 ? "forgotten" : between(heats, heat, minus);
      rows.push(el("tr", {}, el("th", { scope: "row" }, label),
        ...Array.from({ length: ages.length + 1 }, (_, index) => {
          const cell = stored.get(`${index} ${heat}`);
          const value = cell?.stored_bytes ?? 0;
          return el("td", { class: `shade-${shade(value / most)}`, title: cell ? `${count(cell.chunks)} chunks`
            : undefined },
            cell ? bytes(value) : el("span", { "aria-label": "nothing" }, "·"));
        })));
    }
    const head = el("tr", {}, el("th", { scope: "col" }, "Heat"),
      ...Array.from({ length: ages.length + 1 }, (_, index) =>
        el("th", { scope: "col" }, between(ages, index, duration))));
    return el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Heat by age", "data-key": "heat" },
      el("table", { class: "heat" },
        el("caption", { class: "hidden" }, "Stored bytes by age (columns) and heat (rows)"),
        el("thead", {}, head), el("tbody", {}, ...rows)));
  });
}

/** Says why there is no map. */
export const failHeat = (message) => redraw(byID("heat"), message, () => el("p", { class: "hint" }, message));
