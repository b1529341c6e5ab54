// What is so now: the tiles on top, what needs attention, the disk, and the compactor.
import { bar, byID, el, facts, redraw, setText, svg, table } from "./dom.js";
import { bytes, compact, count, duration, latency, percent, rate } from "./format.js";

const rules = [
  ["cold", "nobody had asked for it for longest, and room was needed"],
  ["expired", "its time to live had passed"],
  ["useless", "no resume point could use it"],
  ["quota", "its namespace was above its quota"],
  ["requested", "an operator or a worker asked for it"],
];

const wear = ["device_write_bytes", "put_bytes", "moved_bytes", "swept_bytes", "graves"];

/** What came to counters between two looks, in a second. */
class Rates {
  #before = null;
  #now = null;

  look(counters) {
    this.#before = this.#now;
    this.#now = { at: performance.now(), counters };
    // A daemon that started anew counts from 0; that is no rate.
    if (this.#before && counters.uptime_seconds < this.#before.counters.uptime_seconds) this.#before = null;
  }

  of(name) {
    if (!this.#before) return null;
    const seconds = (this.#now.at - this.#before.at) / 1000;
    return Math.max(0, this.#now.counters[name] - this.#before.counters[name]) / Math.max(0.001, seconds);
  }
}

export class Overview {
  #rates = new Rates();
  #history;
  #tiles = {};
  #watermarks = null;
  #wearBudget = 0;
  #savings = null;
  #counters = null;

  constructor(history) {
    this.#history = history;
    const titles = {
      hits: "Hit rate", saved: "Tokens not recomputed", in: "Page in", out: "Page out", disk: "Disk",
        workers: "Workers",
    };
    for (const [id, title] of Object.entries(titles)) {
      const [value, note] = [el("span", { class: "big" }), el("span", { class: "note" })];
      this.#tiles[id] = { value, note };
      byID("tiles").append(el("div", { id: `tile-${id}` }, el("dt", {}, title), el("dd", {}, value, note)));
    }
  }

  /** Takes an answer of `/v1/config`. */
  configure({ settings }) {
    const values = Object.fromEntries(settings.map(({ key, value }) => [key, value]));
    this.#watermarks = { low: Number(values.low_watermark), high: Number(values.high_watermark) };
    this.#wearBudget = Number(values.wear_budget ?? 0);
    if (this.#counters) this.#draw(this.#counters);
  }

  /** Takes an answer of `/v1/report`. */
  save(report) { this.#savings = report; }

  /** Takes an answer of `/v1/status`. */
  take({ facts: known, counters, draining }) {
    this.#counters = counters;
    this.#rates.look(counters);
    setText(byID("facts"), `larderd ${known.version}, up ${duration(counters.uptime_seconds)}, ${known.data_dir}`);
    this.#alarm(counters, draining);
    this.#tell(counters);
    this.#draw(counters);
  }

  #tile(id, value, note) {
    setText(this.#tiles[id].value, value);
    setText(this.#tiles[id].note, note);
  }

  #tell(counters) {
    const lately = this.#history.hitRate;
    const asked = counters.tokens_asked_total;
    const ever = asked === 0 ? "no resume since the start"
      : `${percent(counters.tokens_resumed_total / asked)} since the start`;
    this.#tile("hits", lately === null ? "–" : percent(lately), `of tokens asked for, the last hour; ${ever}`);
    this.#tile("saved", ...this.#saved());
    for (const [id, direction] of [["in", "in"], ["out", "out"]]) {
      const speed = this.#rates.of(`page_${direction}_raw_bytes_total`);
      const [p50, p99] = ["p50", "p99"].map((part) => this.#history.recent(`page_${direction}_${part}_nanoseconds`));
      this.#tile(id, speed === null ? "–" : rate(speed),
        p50 === null ? "none in the last ten minutes" : `p50 ${latency(p50)}, p99 ${latency(p99)}`);
    }
    this.#tile("disk", percent(counters.disk_bytes / counters.cap_bytes),
      `${bytes(counters.disk_bytes)} of ${bytes(counters.cap_bytes)}`);
    this.#tile("workers", count(counters.connections),
      `${count(counters.sessions)} sessions, ${bytes(counters.queue_bytes)} wait to be written`);
  }

  #saved() {
    const report = this.#savings;
    if (!report) return ["–", ""];
    const tokens = report.rows.reduce((all, row) => all + row.not_recomputed_tokens, 0);
    const avoided = report.rows.reduce((all, row) => all + row.prefill_avoided_milliseconds, 0);
    const part = report.next_cursor ? "at least " : "";
    const time = avoided > 0 ? `${part}${duration(avoided / 1000)} of computing`
      : "how fast the models compute is not known";
    return [compact(tokens), `${time}, as far as is kept`];
  }

  #alarm(counters, draining) {
    const alarms = [];
    if (draining) alarms.push("The daemon is drained for maintenance: workers are turned away.");
    if (counters.damaged_chunks > 0) {
      const chunks = count(counters.damaged_chunks);
      alarms.push(`${chunks} chunks failed their checks since the start. Run larderctl verify.`);
    }
    const aside = counters.set_aside_bytes;
    if (aside > 0) alarms.push(`${bytes(aside)} of damaged files are set aside in the data directory.`);
    redraw(byID("alarms"), alarms, () => alarms.map((text) => el("li", {}, text)));
  }

  #draw(counters) {
    const { cap_bytes, disk_bytes, used_bytes, usable_bytes } = counters;
    redraw(byID("disk"), [cap_bytes, disk_bytes, used_bytes], () => this.#disk(counters));
    const sweeping = counters.sweeping_shards;
    setText(byID("compactor-state"), sweeping > 0 ? `Sweeping ${sweeping} of ${counters.shards} shards` : "At rest");
    byID("compactor-state").classList.toggle("busy", sweeping > 0);
    redraw(byID("marks"), [used_bytes, usable_bytes, this.#watermarks], () => this.#marks(counters));
    redraw(byID("evicted"), rules.map(([rule]) => counters[`evicted_${rule}_chunks`]), () => this.#evicted(counters));
    redraw(byID("wear"), wear.map((name) => counters[name]), () => this.#wear(counters));
  }

  #disk({ cap_bytes: cap, disk_bytes: disk, used_bytes: used }) {
    const [inUse, idle, room] = [used, Math.max(0, disk - used), Math.max(0, cap - disk)];
    const part = (value) => (cap === 0 ? 0 : 100 * value / cap);
    return el("div", { class: "disk" },
      svg("svg", { class: "stack", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
        svg("rect", { class: "rail", width: 100, height: 10 }),
        svg("rect", { class: "fill-a", width: part(inUse), height: 10 }),
        svg("rect", { class: "fill-b", x: part(inUse), width: part(idle), height: 10 })),
      el("ul", { class: "legend" },
        ...[["a", "In use", inUse], ["b", "Free in the files", idle],
          ["rail", "Room to the cap", room]].map(([tone, label, value]) =>
          el("li", {}, svg("svg", { width: 16, height: 10, "aria-hidden": "true" },
            svg("rect", { class: tone === "rail" ? "rail" : `fill-${tone}`, x: 2, width: 10, height: 10, rx: 2 })),
          `${label} `, el("span", { class: "value" }, bytes(value))))));
  }

  #marks({ used_bytes: used, usable_bytes: usable }) {
    const marks = this.#watermarks;
    const part = usable === 0 ? 0 : used / usable;
    if (!marks) return [];
    const line = (at) => svg("line", { class: "mark", x1: 100 * at, x2: 100 * at, y1: -3, y2: 13 });
    return el("div", { class: "disk" },
      svg("svg", { class: "stack marked", viewBox: "0 -3 100 16", preserveAspectRatio: "none", "aria-hidden": "true" },
        svg("rect", { class: "rail", width: 100, height: 10 }),
        svg("rect", { class: "fill-a", width: 100 * Math.min(1, part), height: 10 }), line(marks.low),
          line(marks.high)),
      el("p", {}, `${percent(part)} of what data may take, ${bytes(usable)}, is in use. Sweeps begin above `
        + `${percent(marks.high)} and end at ${percent(marks.low)}.`));
  }

  #evicted(counters) {
    const values = rules.map(([rule]) => counters[`evicted_${rule}_chunks`]);
    const all = values.reduce((sum, value) => sum + value, 0);
    return table("Chunks evicted since the start, by rule",
      [{ title: "Rule", head: true }, { title: "Because" }, { title: "Chunks", number: true }, { title: "" }],
      rules.map(([rule, why], index) => [rule, why, count(values[index]), bar(all === 0 ? 0 : values[index] / all)]),
      { visibleCaption: true });
  }

  #wear(counters) {
    const { device_write_bytes: written, put_bytes: puts, moved_bytes: moved, swept_bytes: swept } = counters;
    const times = puts > 0 ? `, ${(written / puts).toFixed(2)} times the bytes of puts` : "";
    return facts([
      ["Written to the disk so far", bytes(written) + times],
      ["Of that rewritten to close gaps", bytes(moved)],
      ["Freed by sweeps", bytes(swept)],
      ["Waits to be freed", `${count(counters.graves)} lines`],
      this.#wearBudget > 0 && ["May be written in a day", bytes(this.#wearBudget)],
    ]);
  }
}
