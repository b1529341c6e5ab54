// The list of sessions: filtered, sorted, in pages.
import { byID, el, isolated, redraw, replace, table } from "./dom.js";
import { age, bytes, count, name, timeToLive } from "./format.js";

const pageSize = 25;
/** Milliseconds of no typing after which a filter is in force. */
const typing = 300;
/** Namespaces that the filter offers. */
const namespaceLimit = 200;

export class Sessions {
  #namespace = "";
  #name = "";
  #order = "bytes";
  /** Cursors of the pages up to the one that is shown; undefined is the first. */
  #cursors = [undefined];
  #page = null;
  #changed;

  /** `changed` is called when something else is to be asked for. */
  constructor(changed) {
    this.#changed = changed;
    byID("filter").addEventListener("submit", (event) => event.preventDefault());
    byID("filter-namespace").addEventListener("change", (event) =>
      this.#filter(() => { this.#namespace = event.target.value; }));
    byID("filter-order").addEventListener("change", (event) =>
      this.#filter(() => { this.#order = event.target.value; }));
    let timer;
    byID("filter-name").addEventListener("input", (event) => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#filter(() => { this.#name = event.target.value; }), typing);
    });
  }

  /** What to ask for. */
  get path() {
    const query = new URLSearchParams({
      limit: pageSize, sort: this.#order, order: ["bytes", "used"].includes(this.#order) ? "desc" : "asc",
    });
    if (this.#namespace) query.set("namespace", this.#namespace);
    if (this.#name) query.set("name", this.#name);
    if (this.#cursors.at(-1)) query.set("cursor", this.#cursors.at(-1));
    return `/v1/sessions?${query}`;
  }

  #filter(change) {
    change();
    this.#cursors = [undefined];
    this.#changed();
  }

  #turn(change) {
    change();
    this.#changed();
  }

  /** Takes an answer of `/v1/namespaces`. */
  offer({ namespaces }) {
    const select = byID("filter-namespace");
    const names = namespaces.slice(0, namespaceLimit).map((namespace) => namespace.name);
    // What is chosen stays, whether it is still there or not.
    if (this.#namespace && !names.includes(this.#namespace)) names.push(this.#namespace);
    const known = [...select.options].slice(1).map((option) => option.value);
    if (JSON.stringify(known) === JSON.stringify(names)) return;
    replace(select, el("option", { value: "" }, "All"),
      ...names.map((one) => el("option", { value: one }, name(one))));
    select.value = this.#namespace;
  }

  /** Takes an answer of `/v1/sessions`. */
  take(page) {
    this.#page = page;
    const ages = page.sessions.map((session) => [age(session.used_seconds), age(session.created_seconds)]);
    redraw(byID("sessions"), [page, ages, this.#cursors.length], () => this.#draw());
  }

  /** Says why there is no list. A page that is no more is not asked for again. */
  fail(message) {
    this.#cursors = [undefined];
    redraw(byID("sessions"), message, () => el("p", { class: "hint" }, message));
  }

  #draw() {
    const { sessions, total, next_cursor: next } = this.#page;
    const first = (this.#cursors.length - 1) * pageSize;
    const filtered = this.#namespace || this.#name;
    if (total === 0) return [el("p", { class: "hint" }, filtered ? "No session matches."
      : "There are no sessions yet.")];
    const list = table("Sessions",
      [
        { title: "Session", head: true }, { title: "Namespace" }, { title: "Stored, its own", number: true },
        { title: "Raw", number: true }, { title: "Chunks", number: true }, { title: "Used", number: true },
        { title: "Made", number: true }, { title: "Expires", number: true }, { title: "Id", number: true },
      ],
      sessions.map((session) => [
        el("a", { href: `#session=${session.id}`, "data-key": `session-${session.id}` },
          isolated(name(session.name) || "(no name)")),
        isolated(name(session.namespace)), bytes(session.stored_bytes), bytes(session.raw_bytes), count(session.chunks),
        age(session.used_seconds), age(session.created_seconds), timeToLive(session.ttl_seconds), String(session.id),
      ]));
    const pages = el("nav", { class: "pages", "aria-label": "Pages of sessions" },
      el("button", {
        type: "button", "data-key": "previous", "aria-disabled": this.#cursors.length === 1 ? "true" : undefined,
        onclick: () => { if (this.#cursors.length > 1) this.#turn(() => this.#cursors.pop()); },
      }, "Previous"),
      el("p", {}, `${count(Math.min(first + 1, total))} to ${count(first + sessions.length)} of ${count(total)}`),
      el("button", {
        type: "button", "data-key": "next", "aria-disabled": next === undefined ? "true" : undefined,
        onclick: () => { if (next !== undefined) this.#turn(() => this.#cursors.push(next)); },
      }, "Next"));
    return [list, pages];
  }
}
