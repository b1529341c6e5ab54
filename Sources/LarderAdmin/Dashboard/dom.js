// Making elements. All text goes in as text nodes: nothing here reads markup.

const svgNamespace = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** An element of HTML with attributes, listeners (`onclick`) and children; strings are text. */
export const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

/** The same of SVG. */
export const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(svgNamespace, tag), attributes, children);

/** The element with an id; the page has it. */
export const byID = (id) => document.getElementById(id);

/** Sets an element's text, if it has another: what is told to assistive technology is a change. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Replaces what is in a node, and gives the focus back to what has the same `data-key` as what had it. */
export function replace(node, ...children) {
  const focused = node.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const scrolled = node.scrollLeft;
  node.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
  node.scrollLeft = scrolled;
  if (focused === undefined) return;
  const next = [...node.querySelectorAll("[data-key]")].find((one) => one.dataset.key === focused);
  next?.focus({ preventScroll: true });
}

const drawn = new WeakMap();

/** Replaces what is in a node with what `build` makes of values, if they are others than last time. */
export function redraw(node, values, build) {
  const text = JSON.stringify(values);
  if (drawn.get(node) === text) return;
  drawn.set(node, text);
  replace(node, ...[build()].flat());
}

/**
 * A table in a box that scrolls on its own, if it is too wide.
 *
 * Columns are `{ title, number, head }`: right-aligned if `number`, the row's name if `head`. Cells are strings or
 * nodes.
 */
export function table(caption, columns, rows, { visibleCaption = false, key } = {}) {
  const head = el("tr", {}, ...columns.map((column) =>
    el("th", { scope: "col", class: column.number ? "number" : undefined }, column.title)));
  const body = rows.map((cells) => el("tr", {}, ...cells.map((cell, index) =>
    columns[index].head
      ? el("th", { scope: "row" }, cell)
      : el("td", { class: columns[index].number ? "number" : undefined }, cell))));
  const made = el("table", {},
    el("caption", { class: visibleCaption ? undefined : "hidden" }, caption), el("thead", {}, head),
    el("tbody", {}, ...body));
  return el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": caption, "data-key": key ?? caption },
    made);
}

/** A part of a whole, drawn; its number stands beside it, so it is hidden from assistive technology. */
export function bar(part, tone = "a") {
  const width = Math.max(0, Math.min(1, part)) * 100;
  return svg("svg", { class: "bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "rail", width: 100, height: 8 }),
    svg("rect", { class: `fill-${tone}`, width: width.toFixed(2), height: 8 }));
}

/** A name of the store's that cannot turn the text around it. */
export const isolated = (text) => el("bdi", {}, text);

/** A list of names and values. */
export const facts = (pairs) => el("dl", { class: "pairs" },
  ...pairs.filter((pair) => pair).map(([term, ...values]) =>
    el("div", {}, el("dt", {}, term), el("dd", {}, ...values))));
