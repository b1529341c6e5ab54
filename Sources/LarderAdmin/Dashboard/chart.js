// A chart over time: lines or stacked bars, drawn anew when there is something new. Pointer and arrow keys read single
// values; the same values stand in a table below.
import { el, replace, setText, svg, table } from "./dom.js";
import { hour, moment } from "./format.js";

const height = 176;
const edge = { left: 54, right: 10, top: 10, bottom: 22 };

/** Round values from 0 to just above `most`: about four of them. `base` is 1024 for bytes, 1000 for anything else. */
export function ticks(most, base = 1000) {
  const steps = base === 1024 ? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512] : [1, 2, 5, 10, 20, 50, 100, 200, 500];
  for (let scale = 1; scale < 1e18; scale *= base) {
    const step = steps.map((one) => one * scale).find((one) => most / one <= 4);
    if (step !== undefined) return Array.from({ length: Math.max(1, Math.ceil(most / step)) + 1 }, (_, i) => i * step);
  }
  return [0, most];
}

/** Powers of ten that hold all of the values. */
function decades(least, most) {
  const first = Math.floor(Math.log10(least));
  const last = Math.max(first + 1, Math.ceil(Math.log10(most)));
  return Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i));
}

export class TimeChart {
  #spec;
  #data = null;
  #cursor = null;
  #plot;
  #legend = [];
  #when = el("span", { class: "when" });
  #summary = el("p", { class: "summary" });
  #spoken = el("p", { class: "hidden", "aria-live": "polite" });
  #details;
  #scale = null;

  /**
   * `spec`: `id`, `title`, `series` (`label`, `tone`, `dashed`), `bars`, `log`, `axis` (how marks are written, if not
   * by `format`), `marks` (of the scale, where they are always the same) or `base` (of marks that are made), and how
   * values are written: `format`.
   */
  constructor(spec) {
    this.#spec = spec;
    this.#plot = el("div", {
      class: "plot", tabindex: 0, role: "group", "aria-label": `${spec.title}: chart, arrow keys read its values`,
      "data-key": `plot-${spec.id}`, onkeydown: (event) => this.#key(event), onblur: () => this.#point(null),
      onpointermove: (event) => this.#point(this.#near(event)), onpointerleave: () => this.#point(null),
    });
    this.#details = el("details", { "aria-label": `${spec.title}: table`, ontoggle: () => this.#tabulate() },
      el("summary", { "data-key": `table-${spec.id}` }, "Table", el("span", { class: "hidden" }, `: ${spec.title}`)));
    this.#legend = spec.series.map((series) => el("span", { class: "value" }));
    const legend = el("ul", { class: "legend" },
      ...spec.series.map((series, index) => el("li", {}, this.#key_(series), `${series.label} `, this.#legend[index])));
    this.node = el("figure", { class: "chart", id: `chart-${spec.id}`, "aria-label": spec.title },
      el("figcaption", {}, el("h3", {}, spec.title), this.#when, this.#summary), legend, this.#plot, this.#spoken,
      this.#details);
    new ResizeObserver(() => this.#draw()).observe(this.#plot);
  }

  #key_(series) {
    const mark = this.#spec.bars
      ? svg("rect", { class: `fill-${series.tone}`, x: 2, y: 0, width: 10, height: 10, rx: 2 })
      : svg("line", { class: `line-${series.tone}${series.dashed ? " dashed" : ""}`, x1: 0, x2: 16, y1: 5, y2: 5 });
    return svg("svg", { width: 16, height: 10, "aria-hidden": "true" }, mark);
  }

  /**
   * `data`: times `from`, `to` in seconds, `step` of a point, `points` as `{ start, values }` in order of time, where a
   * value may be null and points may be missing; `gaps` as `[from, to]`.
   */
  update(data, summary) {
    this.#data = data;
    setText(this.#summary, summary);
    this.#draw();
    this.#tabulate();
  }

  #draw() {
    const width = this.#plot.clientWidth;
    if (width === 0 || this.#data === null) return;
    const { from, to, points } = this.#data;
    const spec = this.#spec;
    const inner = { width: width - edge.left - edge.right, height: height - edge.top - edge.bottom };
    const values = points.flatMap((point) =>
      spec.bars ? [point.values.reduce((sum, value) => sum + (value ?? 0), 0)]
        : point.values.filter((value) => value !== null && !(spec.log && value <= 0)));
    const most = Math.max(0, ...values);
    const marks = spec.log ? decades(values.length ? Math.min(...values) : 1e4, values.length ? most : 1e7)
      : spec.marks ?? ticks(most > 0 ? most : 1, spec.base);
    const [low, high] = [marks[0], marks.at(-1)];
    const y = spec.log
      ? (value) => edge.top + inner.height * (1 - Math.log10(value / low) / Math.log10(high / low))
      : (value) => edge.top + inner.height * (1 - value / high);
    const x = (seconds) => edge.left + inner.width * (seconds - from) / (to - from);
    this.#scale = { x, y, inner, width };
    const parts = [
      ...this.#data.gaps.map(([start, end]) => svg("rect", {
        class: "gap", x: x(start).toFixed(1), width: Math.max(0, x(end) - x(start)).toFixed(1), y: edge.top,
        height: inner.height,
      })),
      ...marks.flatMap((mark) => [
        svg("line", { class: "grid", x1: edge.left, x2: width - edge.right, y1: y(mark), y2: y(mark) }),
        svg("text", { x: edge.left - 8, y: y(mark) + 4, "text-anchor": "end" }, (spec.axis ?? spec.format)(mark)),
      ]),
      ...this.#hours(inner.width).map((seconds) =>
        svg("text", { x: x(seconds), y: height - 5, "text-anchor": "middle" }, hour(seconds))),
      ...(spec.bars ? this.#bars(x, y) : this.#lines(x, y)),
      svg("line", { class: "cursor", y1: edge.top, y2: edge.top + inner.height, visibility: "hidden" }),
    ];
    replace(this.#plot, svg("svg", { width, height, "aria-hidden": "true" }, ...parts));
    this.#point(this.#cursor === null ? null : Math.min(this.#cursor, points.length - 1));
  }

  /** Full hours, or parts of them, that fit side by side. */
  #hours(width) {
    const { from, to } = this.#data;
    const room = Math.max(2, Math.floor(width / 64));
    const step = [300, 600, 900, 1800, 3600, 7200, 14400].find((one) => (to - from) / one <= room) ?? 28800;
    const first = Math.ceil(from / step) * step;
    return Array.from({ length: Math.floor((to - first) / step) + 1 }, (_, i) => first + i * step)
      .filter((seconds) => seconds - from > (to - from) * 0.03 && to - seconds > (to - from) * 0.03);
  }

  #lines(x, y) {
    const { points, step } = this.#data;
    return this.#spec.series.map((series, index) => {
      let path = "";
      let last = null;
      for (const point of points) {
        const value = point.values[index];
        if (value === null || (this.#spec.log && value <= 0)) continue;
        const place = `${x(point.start + step / 2).toFixed(1)} ${y(value).toFixed(1)}`;
        // Where points are missing the line breaks off; a point on its own is a dot.
        path += last !== null && point.start - last <= step * 1.5 ? `L${place}` : `M${place}h0`;
        last = point.start;
      }
      return svg("path", { class: `line-${series.tone}${series.dashed ? " dashed" : ""}`, d: path });
    });
  }

  #bars(x, y) {
    const { points, step } = this.#data;
    const paths = this.#spec.series.map(() => "");
    for (const point of points) {
      let sum = 0;
      const left = x(point.start);
      const width = Math.max(1, x(point.start + step) - left - 1);
      point.values.forEach((value, index) => {
        if (!value) return;
        const [top, bottom] = [y(sum + value), y(sum)];
        paths[index] += `M${left.toFixed(1)} ${bottom.toFixed(1)}V${top.toFixed(1)}`
          + `h${width.toFixed(1)}V${bottom.toFixed(1)}z`;
        sum += value;
      });
    }
    return paths.map((path, index) => svg("path", { class: `fill-${this.#spec.series[index].tone}`, d: path }));
  }

  // What single points say.

  #near(event) {
    if (!this.#scale || this.#data.points.length === 0) return null;
    const place = event.clientX - this.#plot.getBoundingClientRect().left;
    const { x } = this.#scale;
    const distance = (point) => Math.abs(x(point.start + this.#data.step / 2) - place);
    return this.#data.points.reduce((best, point, index, all) => distance(point) < distance(all[best]) ? index : best,
      0);
  }

  #key(event) {
    const last = (this.#data?.points.length ?? 0) - 1;
    const now = this.#cursor ?? last + 1;
    const next = {
      ArrowLeft: Math.max(0, now - 1), ArrowRight: Math.min(last, now + 1), Home: 0, End: last, Escape: null,
    }[event.key];
    if (next === undefined || last < 0) return;
    event.preventDefault();
    this.#point(next);
    if (next === null) return;
    const point = this.#data.points[next];
    const said = this.#spec.series.map((series, index) => `${series.label} ${this.#text(point.values[index])}`);
    setText(this.#spoken, `${hour(point.start)}: ${said.join(", ")}`);
  }

  /** Shows the values of a point, or of the last one. */
  #point(index) {
    this.#cursor = index;
    if (this.#data === null) return;
    const { points, step } = this.#data;
    const point = index === null ? points.at(-1) : points[index];
    this.#legend.forEach((node, one) => setText(node, point ? this.#text(point.values[one]) : "–"));
    setText(this.#when, point ? `${index === null ? "last, " : ""}${hour(point.start)} to ${hour(point.start + step)}`
      : "");
    const line = this.#plot.querySelector(".cursor");
    if (!line) return;
    line.setAttribute("visibility", index === null || !point ? "hidden" : "visible");
    if (!point) return;
    const place = this.#scale.x(point.start + step / 2).toFixed(1);
    line.setAttribute("x1", place);
    line.setAttribute("x2", place);
  }

  #text(value) { return value === null || value === undefined ? "–" : this.#spec.format(value); }

  /** The table, as long as somebody looks at it. */
  #tabulate() {
    this.#details.querySelector(".scroll")?.remove();
    if (!this.#details.open || this.#data === null) return;
    const columns = [{ title: "From", head: true },
      ...this.#spec.series.map(({ label }) => ({ title: label, number: true }))];
    const rows = this.#data.points.toReversed().map((point) =>
      [moment(point.start), ...point.values.map((value) => this.#text(value))]);
    this.#details.append(table(`${this.#spec.title}, the latest first`, columns, rows));
  }
}
