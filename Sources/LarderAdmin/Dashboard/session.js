// One session: its facts, its fork tree, and why it can be restored as far as it can.
import { byID, el, facts, isolated, redraw, svg, table } from "./dom.js";
import { age, bytes, count, duration, moment, name, timeToLive } from "./format.js";
import { drawTree } from "./tree.js";

/** What a page's address names: `#session=64`. */
export function chosen() {
  const found = /^#session=(\d{1,20})$/.exec(location.hash);
  return found ? found[1] : null;
}

/** Why a track reaches no further, in words. */
export function reason(track, isRecurrent) {
  if (track.cause === "none") return "–";
  const what = isRecurrent ? `the state at ${count(track.missing_to_tokens)}`
    : `tokens ${count(track.missing_from_tokens)} to ${count(track.missing_to_tokens)}`;
  switch (track.cause) {
    case "no_state": return "nothing of it is stored";
    case "never_stored": return `${what}: never put, or truncated`;
    case "evicted": return `${what}: evicted as ${track.eviction_rule ?? "unknown"}`
      + (track.evicted_seconds ? `, ${age(track.evicted_seconds)}` : "");
    case "damaged": return `${what}: damaged`;
    default: return `${what}: ${track.cause}`;
  }
}

export class SessionView {
  #id = null;
  #models = new Map();
  #answers = {};

  constructor() {
    const parts = ["session-facts", "session-tree", "session-explain"];
    byID("session-body").append(...parts.map((id) => el("div", { id })));
    byID("session-close").addEventListener("click", () => this.#close());
    new ResizeObserver(() => this.#draw()).observe(byID("session-tree"));
  }

  #close() {
    const key = `session-${this.#id}`;
    history.replaceState(null, "", location.pathname);
    dispatchEvent(new HashChangeEvent("hashchange"));
    (document.querySelector(`[data-key="${key}"]`) ?? byID("sessions-title")).focus();
  }

  /** What is asked for of the session that is chosen, by what takes it. */
  get path() { return this.#id === null ? null : `/v1/sessions/${this.#id}`; }

  /** Follows the page's address; true if there is something new to ask for. */
  follow() {
    const id = chosen();
    if (id === this.#id) return false;
    this.#id = id;
    this.#answers = {};
    byID("session").hidden = id === null;
    for (const part of ["facts", "tree", "explain"]) redraw(byID(`session-${part}`), null, () => []);
    if (id === null) return false;
    byID("session-title").replaceChildren(`Session ${id}`);
    byID("session-title").focus({ preventScroll: true });
    byID("session").scrollIntoView({ block: "start" });
    return true;
  }

  /** Takes an answer of `/v1/models`. */
  learn({ models }) { this.#models = new Map(models.map((model) => [model.id, model])); }

  /** Takes the answers of `/v1/sessions/{session}`, its `/tree` and `/explain`, if they are of the one shown. */
  take(id, answers) {
    if (id !== this.#id) return;
    this.#answers = answers;
    this.#draw();
  }

  get id() { return this.#id; }

  /** Says why there is none. */
  fail(id, message) {
    if (id !== this.#id) return;
    redraw(byID("session-facts"), message, () => el("p", { class: "hint" }, message));
    for (const part of ["tree", "explain"]) redraw(byID(`session-${part}`), null, () => []);
  }

  #draw() {
    const { session, tree, explain } = this.#answers;
    if (!session) return;
    byID("session-title").replaceChildren("Session ", isolated(`${name(session.namespace)}/${name(session.name)}`));
    redraw(byID("session-facts"), [session, explain, age(session.used_seconds)], () => this.#facts(session, explain));
    const width = Math.max(360, byID("session-tree").clientWidth);
    redraw(byID("session-tree"), [tree, width], () =>
      [el("h3", {}, "Fork tree, by offset in tokens"), drawTree(tree, width)]);
    redraw(byID("session-explain"), [explain, session.models], () => this.#explain(session, explain));
  }

  #facts(session, explain) {
    const models = session.models.map(({ rank, model }) => {
      const label = name(this.#models.get(model)?.name ?? "") || `model ${model}`;
      return session.models.length > 1 ? `${label} (rank ${rank})` : label;
    });
    return facts([
      ["Resume point", `${count(explain.offset_tokens)} of ${count(explain.end_tokens)} tokens`],
      ["Model", isolated(models.join(", ") || "none")],
      ["Stored, its own",
        `${bytes(session.stored_bytes)} in ${count(session.chunks)} chunks, ${bytes(session.raw_bytes)} raw`],
      ["Used", age(session.used_seconds)],
      ["Made", moment(session.created_seconds)],
      ["Expires", session.ttl_seconds === 0 || session.ttl_seconds === 0xffff_ffff ? timeToLive(session.ttl_seconds)
        : `${duration(session.ttl_seconds)} after its last use`],
      ["Owner", `uid ${session.owner_uid}`],
      ["Id", String(session.id)],
    ]);
  }

  #component(session, track) {
    const model = this.#models.get(session.models.find(({ rank }) => rank === track.rank)?.model);
    return model?.components[track.component];
  }

  #explain(session, explain) {
    const reach = (track) => {
      const end = Math.max(1, explain.end_tokens);
      const at = 100 * explain.offset_tokens / end;
      return svg("svg", { class: "bar reach", viewBox: "0 0 100 8", preserveAspectRatio: "none",
        "aria-hidden": "true" },
        svg("rect", { class: "rail", width: 100, height: 8 }),
        svg("rect", { class: track.cause === "none" ? "fill-a" : "fill-b",
          width: Math.min(100, 100 * track.reach_tokens / end), height: 8 }),
        svg("line", { class: "mark", x1: at, x2: at, y1: 0, y2: 8 }));
    };
    const rows = explain.tracks.map((track) => {
      const component = this.#component(session, track);
      return [
        isolated(name(component?.name ?? "") || `component ${track.component}`), String(track.rank),
          component?.kind ?? "–",
        count(track.reach_tokens), reach(track), reason(track, component?.kind === "recurrent"),
      ];
    });
    const notes = [
      explain.offset_tokens === explain.end_tokens ? "All of it can be restored."
        : `It can be restored up to ${count(explain.offset_tokens)} tokens, the most that all components can serve.`,
      explain.missing_ranks.length ? `There is no state of ranks ${explain.missing_ranks.join(", ")}.` : null,
      explain.model_difference ? `The model differs: ${name(explain.model_difference)}.` : null,
    ];
    return [
      el("h3", {}, "How far it can be restored, and why no further"), el("p", {}, notes.filter(Boolean).join(" ")),
      rows.length === 0 ? null : table("How far each component reaches",
        [
          { title: "Component", head: true }, { title: "Rank", number: true }, { title: "Kind" },
          { title: "Reach, tokens", number: true }, { title: "" }, { title: "Why no further" },
        ], rows),
    ];
  }
}
