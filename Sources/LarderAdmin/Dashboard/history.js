// The last hours: samples that the daemon keeps, put together to points of a chart, and what the charts are.
import { TimeChart } from "./chart.js";
import { byID, setText } from "./dom.js";
import { bytes, compact, count, duration, latency, percent, rate, round } from "./format.js";

/** Seconds of a point, by the hours that are shown: about ninety points. */
const steps = { 1: 40, 3: 120, 8: 300 };
/** Samples that are kept: those of eight hours, and a few. */
const sampleLimit = 1_500;

const sum = (name) => (point) => point.sum[name];
const perSecond = (name) => (point) => point.sum[name] / point.seconds;
const last = (name) => (point) => point.last[name];
/** The highest of the samples that had requests. */
const highest = (name) => (point) => (point.most[name] > 0 ? point.most[name] : null);

const rules = ["cold", "expired", "useless", "quota", "requested"];
const total = (points, name) => points.reduce((all, point) => all + point.sum[name], 0);

const charts = [
  {
    id: "hits", title: "Hit rate", format: percent, marks: [0, 0.25, 0.5, 0.75, 1],
    series: [{
      label: "Tokens found of those asked for", tone: "a",
      value: (point) => point.sum.asked_tokens > 0 ? point.sum.resumed_tokens / point.sum.asked_tokens : null,
    }],
    summary(points) {
      const asked = total(points, "asked_tokens");
      if (asked === 0) return "No resume asked for anything.";
      const found = percent(total(points, "resumed_tokens") / asked);
      return `${found} of ${compact(asked)} tokens that resumes asked for were found.`;
    },
  },
  {
    id: "saved", title: "Tokens not recomputed", format: compact, bars: true,
    series: [{ label: "Tokens", tone: "a", value: sum("not_recomputed_tokens") }],
    summary: (points) => `${count(total(points, "not_recomputed_tokens"))} tokens that nobody had to compute again.`,
  },
  {
    id: "paging", title: "Paging throughput", format: rate, base: 1024, axis: round,
    series: [
      { label: "Page in", tone: "a", value: perSecond("page_in_bytes") },
      { label: "Page out", tone: "b", value: perSecond("page_out_bytes"), dashed: true },
    ],
    summary: (points) =>
      `${bytes(total(points, "page_in_bytes"))} in and ${bytes(total(points, "page_out_bytes"))} out, before encoding.`,
  },
  {
    id: "latency", title: "Paging latency", format: latency, log: true,
    series: [
      { label: "In p50", tone: "a", value: highest("page_in_p50_nanoseconds") },
      { label: "In p99", tone: "a", value: highest("page_in_p99_nanoseconds"), dashed: true },
      { label: "Out p50", tone: "b", value: highest("page_out_p50_nanoseconds") },
      { label: "Out p99", tone: "b", value: highest("page_out_p99_nanoseconds"), dashed: true },
    ],
    summary: () => "A request for a batch of chunks, from its last byte to its answer; of several samples the highest.",
  },
  {
    id: "disk", title: "Disk", format: bytes, base: 1024, axis: round,
    series: [
      { label: "Files", tone: "a", value: last("disk_bytes") },
      { label: "In use", tone: "c", value: last("used_bytes") },
      { label: "Cap", tone: "e", value: last("cap_bytes"), dashed: true },
    ],
    summary: (points) => points.length
      ? `${bytes(points.at(-1).last.disk_bytes)} of ${bytes(points.at(-1).last.cap_bytes)}.` : "",
  },
  {
    id: "evicted", title: "Evictions by rule", format: compact, bars: true,
    series: rules.map((rule, index) => ({
      label: rule, tone: "abcde"[index], value: sum(`evicted_${rule}_chunks`),
    })),
    summary(points) {
      const all = rules.reduce((chunks, rule) => chunks + total(points, `evicted_${rule}_chunks`), 0);
      return all === 0 ? "Nothing was evicted." : `${count(all)} chunks were evicted.`;
    },
  },
  {
    id: "wear", title: "Written to the disk", format: rate, base: 1024, axis: round,
    series: [
      { label: "All", tone: "d", value: perSecond("device_write_bytes") },
      { label: "Puts", tone: "b", value: perSecond("put_bytes"), dashed: true },
      { label: "Rewritten", tone: "c", value: perSecond("moved_bytes") },
    ],
    summary(points) {
      const [all, puts] = [total(points, "device_write_bytes"), total(points, "put_bytes")];
      if (all === 0) return "Nothing was written.";
      return puts === 0 ? `${bytes(all)} written.`
        : `${bytes(all)} written, ${(all / puts).toFixed(2)} times the bytes of puts.`;
    },
  },
];

/** Samples put together to points of `step` seconds, with what they sum up to, where they end, and their highest. */
export function points(samples, step) {
  const made = [];
  for (const sample of samples) {
    const start = Math.floor((sample.end - 1) / step) * step;
    let point = made.at(-1);
    if (point?.start !== start) {
      point = { start, seconds: 0, sum: {}, last: sample.values, most: {} };
      made.push(point);
    }
    point.seconds += Math.max(0.001, sample.seconds);
    point.last = sample.values;
    for (const [name, value] of Object.entries(sample.values)) {
      point.sum[name] = (point.sum[name] ?? 0) + value;
      point.most[name] = Math.max(point.most[name] ?? 0, value);
    }
  }
  return made;
}

export class History {
  #samples = [];
  #interval = 20;
  #charts = charts.map((spec) => new TimeChart(spec));
  #hours = 3;

  constructor() {
    byID("charts").append(...this.#charts.map((chart) => chart.node));
    byID("window").addEventListener("change", (event) => {
      this.#hours = Number(event.target.value);
      this.#draw();
    });
  }

  /** What to ask for: only what is new. */
  get path() {
    const after = this.#samples.at(-1)?.end;
    return after === undefined ? "/v1/history" : `/v1/history?after=${after}`;
  }

  /** The last sample's figures; undefined without one. */
  get last() { return this.#samples.at(-1)?.values; }

  /** Forgets all: another daemon answers. */
  clear() { this.#samples = []; }

  /** Takes an answer of `/v1/history`. */
  take(answer) {
    this.#interval = answer.interval_seconds;
    const fresh = answer.samples.map(({ seconds, milliseconds, values }) => ({
      end: seconds, seconds: milliseconds / 1000,
      values: Object.fromEntries(answer.figures.map((name, index) => [name, values[index]])),
    }));
    this.#samples = [...this.#samples, ...fresh].slice(-sampleLimit);
    this.#draw();
  }

  /** Tokens found of those asked for in the last hour; null if there were none. */
  get hitRate() {
    const since = Date.now() / 1000 - 3600;
    const recent = this.#samples.filter((sample) => sample.end > since);
    const asked = recent.reduce((all, { values }) => all + values.asked_tokens, 0);
    return asked === 0 ? null : recent.reduce((all, { values }) => all + values.resumed_tokens, 0) / asked;
  }

  /** Of the last samples that had any, a figure; null if none had. */
  recent(name, seconds = 600) {
    const since = Date.now() / 1000 - seconds;
    const found = this.#samples.findLast((sample) => sample.end > since && sample.values[name] > 0);
    return found?.values[name] ?? null;
  }

  #draw() {
    const step = steps[this.#hours];
    const to = Math.ceil(Math.max(Date.now() / 1000, this.#samples.at(-1)?.end ?? 0) / step) * step;
    const from = to - this.#hours * 3600;
    const shown = this.#samples.filter((sample) => sample.end > from);
    const made = points(shown, step);
    const gaps = [];
    shown.forEach((sample, index) => {
      const before = shown[index - 1]?.end;
      if (before !== undefined && sample.end - sample.seconds - before > 2 * this.#interval) {
        gaps.push([before, sample.end - sample.seconds]);
      }
    });
    charts.forEach((spec, index) => {
      const data = made.map((point) => ({
        start: point.start, values: spec.series.map((series) => series.value(point) ?? null),
      }));
      this.#charts[index].update({ from, to, step, points: data, gaps }, spec.summary(made));
    });
    const first = this.#samples[0];
    setText(byID("time-hint"), !first ? "There are no samples yet; one is taken every 20 seconds."
      : `A point is ${duration(step)}. The daemon remembers eight hours, over restarts`
        + (gaps.length ? "; the shaded times are without samples, as the daemon did not run." : "."));
  }
}
