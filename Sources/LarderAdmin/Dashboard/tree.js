// A session's forks, drawn: each line of the tree from the offset where it leaves another to where it ends.
import { el, svg, table } from "./dom.js";
import { age, bytes, clipped, count, name } from "./format.js";
import { ticks } from "./chart.js";

/** Lines that are drawn; the table has all. */
const lineLimit = 60;
/** Signs of a name in the drawing. */
const labelLimit = 48;
const row = 34;
const edge = { left: 14, right: 16, top: 30, bottom: 8 };

/**
 * The lines in the order in which they are drawn, a child below what it leaves, each with where it begins and ends in
 * tokens and its depth.
 */
export function arranged(lines) {
  const known = new Set(lines.map((line) => line.line));
  const children = Map.groupBy(lines.filter((line) => known.has(line.parent)), (line) => line.parent);
  for (const list of children.values()) list.sort((one, other) => one.forked_at_tokens - other.forked_at_tokens
    || one.line - other.line);
  const waiting = lines.filter((line) => !known.has(line.parent)).reverse().map((line) =>
    ({ line, depth: 0, seen: 0, above: null }));
  const made = [];
  // A stack instead of recursion: forks may be thousands deep.
  while (waiting.length > 0) {
    const { line, depth, seen, above } = waiting.pop();
    // Of what it leaves it sees what that sees, up to where it leaves.
    const start = above === null ? 0 : Math.min(line.forked_at_tokens, seen);
    const item = { ...line, start, end: Math.max(line.end_tokens, start), depth, above, index: made.length };
    made.push(item);
    const below = children.get(line.line) ?? [];
    for (const child of below.toReversed()) waiting.push({ line: child, depth: depth + 1, seen: item.end,
      above: item });
  }
  return made;
}

const called = (item) => (item.session === undefined ? "(no session)" : name(item.name) || "(no name)");

/** Draws a tree and its table. */
export function drawTree({ session, lines, whole }, width) {
  const items = arranged(lines);
  const shown = items.slice(0, lineLimit);
  const marks = ticks(Math.max(1, ...shown.map((item) => item.end)), 1024);
  const x = (tokens) => edge.left + (width - edge.left - edge.right) * tokens / marks.at(-1);
  const y = (item) => edge.top + row * item.index + row - 10;
  const height = edge.top + row * shown.length + edge.bottom;
  const scale = marks.flatMap((mark, index) => [
    svg("line", { class: "grid", x1: x(mark), x2: x(mark), y1: edge.top - 6, y2: height }),
    svg("text", {
      x: x(mark), y: edge.top - 12, "text-anchor": index === 0 ? "start" : index === marks.length - 1 ? "end"
        : "middle",
    }, count(mark)),
  ]);
  const branches = shown.filter((item) => item.above)
    .map((item) => svg("path", { class: "branch", d: `M${x(item.start)} ${y(item.above)}V${y(item)}` }));
  const drawn = shown.map((item) => drawLine(item, item.session === session, x, y, width));
  const picture = svg("svg", { class: "tree", width, height, role: "group", "aria-label": "Forks by offset in tokens" },
    ...scale, ...branches, ...drawn);
  const note = !whole ? "The tree has more lines than one answer shows."
    : items.length > shown.length ? `${count(items.length - shown.length)} more lines are in the table.` : "";
  return el("div", {},
    el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Fork tree", "data-key": "tree" }, picture),
    note ? el("p", { class: "hint" }, note) : null,
    el("details", { "aria-label": "Fork tree: table" },
      el("summary", { "data-key": "tree-table" }, "Table", el("span", { class: "hidden" }, ": fork tree")),
      tabulate(items)));
}

function drawLine(item, isCurrent, x, y, width) {
  const [left, right, at] = [x(item.start), Math.max(x(item.end), x(item.start) + 3), y(item)];
  const own = item.chunks > 0 ? `${count(item.chunks)} chunks of its own, ${bytes(item.stored_bytes)}`
    : "nothing of its own";
  const where = item.above ? `leaves ${called(item.above)} at ${count(item.start)}, ends at ${count(item.end)} tokens`
    : `ends at ${count(item.end)} tokens`;
  const tone = isCurrent ? "a" : item.session === undefined ? "e" : "c";
  // A name stands right of where its line begins, or left of there where that leaves no room.
  const isLate = left > width * 0.6;
  const label = svg("text",
    { class: "label", x: isLate ? left - 8 : left + 4, y: at - 8, "text-anchor": isLate ? "end" : "start" },
    `${clipped(called(item), labelLimit)}${item.above ? ` · from ${count(item.start)}` : ""}`);
  const parts = [
    svg("rect", { class: `fill-${tone}`, x: left, y: at - 4, width: right - left, height: 8, rx: 3 }),
    item.above ? svg("circle", { class: "fork", cx: left, cy: at, r: 5 }) : null,
    label,
    svg("title", {}, `${called(item)}: ${where}; ${own}`),
  ];
  if (item.session === undefined) return svg("g", {}, ...parts);
  return svg("a", {
    href: `#session=${item.session}`, class: isCurrent ? "current" : undefined, "data-key": `line-${item.line}`,
    "aria-label": `${called(item)}, ${where}`, "aria-current": isCurrent ? "true" : undefined,
  }, ...parts);
}

function tabulate(items) {
  return table("Fork tree",
    [
      { title: "Session", head: true }, { title: "Id", number: true }, { title: "Leaves" },
        { title: "At", number: true },
      { title: "Ends at", number: true }, { title: "Chunks", number: true }, { title: "Stored", number: true },
      { title: "Changed", number: true },
    ],
    items.map((item) => [
      el("bdi", {}, called(item)), item.session === undefined ? "–" : String(item.session),
      item.above ? el("bdi", {}, called(item.above)) : "–", item.above ? count(item.start) : "–", count(item.end),
      count(item.chunks), bytes(item.stored_bytes), age(item.changed_seconds),
    ]));
}
