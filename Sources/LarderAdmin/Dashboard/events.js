// The last events, as they happen.
import { Gone, Refused } from "./api.js";
import { byID, el, replace } from "./dom.js";
import { bytes, count, duration, name, time } from "./format.js";

/** Events that are shown, and so kept. */
const limit = 50;
/** Milliseconds between two attempts. */
const patience = { least: 1_000, most: 30_000 };

const words = {
  connected: "A worker connected", disconnected: "A worker left", session_opened: "Session made",
  session_dropped: "Session dropped", session_forked: "Session forked", session_truncated: "Session truncated",
  evicted: "Evicted", sweep_started: "Sweep begun", sweep_finished: "Sweep ended", refused: "Refused",
  damaged: "Damage found", changed: "Changed", drained: "Drained", undrained: "Serving again", job_started: "Job begun",
  job_finished: "Job ended", lost: "Too fast to follow",
};

/** A field as text: names of the store's as they may be shown, numbers with their unit. */
function text(key, value) {
  const label = key.replace(/_(bytes|seconds|tokens)$/, "").replaceAll("_", " ");
  if (typeof value === "string") return `${label} ${name(value)}`;
  if (key.endsWith("_bytes")) return `${label} ${bytes(value)}`;
  if (key.endsWith("_seconds")) return `${label} ${duration(value)}`;
  return key.endsWith("_chunks") ? `${count(value)} ${label.replace(" chunks", "")}` : `${label} ${String(value)}`;
}

export class Events {
  #api;
  #last = null;
  #list = el("ol", { class: "events" });
  #controller = null;
  #note = el("p", { class: "hint" });

  constructor(api) {
    this.#api = api;
    replace(byID("events"), this.#note, el("div", {
      class: "scroll tall", tabindex: 0, role: "group", "aria-label": "Events, the latest first", "data-key": "events",
    }, this.#list));
    this.#say("Nothing yet.");
  }

  #say(message) {
    this.#note.textContent = message;
    this.#note.hidden = message === "";
  }

  get isRunning() { return this.#controller !== null; }

  /** Shows the events from now on, and the last ones before, until `stop`. */
  start() {
    if (this.#controller) return;
    this.#controller = new AbortController();
    this.#run(this.#controller.signal);
  }

  stop() {
    this.#controller?.abort();
    this.#controller = null;
  }

  /** Another daemon answers, whose events have other numbers. */
  restart() {
    this.stop();
    this.#last = null;
    this.start();
  }

  async #run(signal) {
    let wait = patience.least;
    while (!signal.aborted) {
      try {
        if (this.#last === null) await this.#catchUp(signal);
        await this.#api.events(this.#last, signal, (kind, event) => {
          if (signal.aborted) return;
          wait = patience.least;
          this.#add(kind, event);
        });
      } catch (error) {
        if (!(error instanceof Gone || error instanceof Refused)) throw error;
        if (error instanceof Refused) this.#say(error.message);
      }
      await new Promise((done) => {
        const timer = setTimeout(done, wait);
        signal.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
      });
      wait = Math.min(2 * wait, patience.most);
    }
  }

  /** What happened before this page was opened. */
  async #catchUp(signal) {
    const { last_id: last } = await this.#api.get("/v1/events/recent?limit=1");
    const { events } = await this.#api.get(`/v1/events/recent?after=${Math.max(0, last - limit)}&limit=${limit}`);
    if (signal.aborted) return;
    this.#list.replaceChildren();
    this.#last = Math.max(0, last - limit);
    for (const event of events) this.#add(event.kind, event);
  }

  #add(kind, event) {
    if (event.id !== undefined) {
      if (this.#last !== null && event.id <= this.#last) return;
      this.#last = event.id;
    }
    this.#say("");
    const seconds = (event.time_milliseconds ?? Date.now()) / 1000;
    const fields = event.fields ?? { events: event.events };
    this.#list.prepend(el("li", { class: ["damaged", "refused", "lost"].includes(kind) ? "bad" : undefined },
      el("time", { datetime: new Date(seconds * 1000).toISOString() }, time(seconds)), " ",
      el("strong", {}, words[kind] ?? kind), " ",
      el("span", {}, Object.entries(fields).map(([key, value]) => text(key, value)).join(", "))));
    while (this.#list.childElementCount > limit) this.#list.lastElementChild.remove();
  }
}
