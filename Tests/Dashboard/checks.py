"""What is looked at in the page itself, as JavaScript."""

#: The contrast of all text that shows with what is behind it, by WCAG 2.2: at least 4.5, or 3 for large text (1.4.3).
CONTRAST = """(() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  const read = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return { r, g, b, a: a / 255 };
  };
  const luminance = ({ r, g, b }) => {
    const [x, y, z] = [r, g, b].map((one) => one / 255).map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const colour = read(getComputedStyle(one).backgroundColor);
      if (colour.a === 1) return colour;
      if (colour.a > 0) throw new Error("a background that shows through");
    }
    return read(getComputedStyle(document.documentElement).backgroundColor);
  };
  const faults = new Set();
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !node.checkVisibility() || node.closest(".hidden, .skip, title, option")) continue;
    const style = getComputedStyle(node);
    const ink = read(node instanceof SVGElement ? style.fill : style.color);
    const [one, other] = [luminance(ink), luminance(ground(node))].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const contrast = (one + 0.05) / (other + 0.05);
    texts += 1;
    if (contrast < (isLarge ? 3 : 4.5)) faults.add(`${contrast.toFixed(2)}: ${node.tagName}.${node.getAttribute("class")} "${walker.currentNode.textContent.slice(0, 30)}"`);
  }
  return { texts, faults: [...faults] };
})()"""

_NAME = """(node) => node.id ? "#" + node.id : node.dataset.key ? "key " + node.dataset.key
  : node.name ? node.name + "=" + node.value : node.tagName + " " + node.textContent.slice(0, 40)"""

#: What the Tab key must reach, in the order of the document: of radio buttons the one that is checked.
TABBABLE = f"""[...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")].filter((node) =>
  node.checkVisibility() && !(node.type === "radio" && !node.checked)).map({_NAME})"""

#: What has the focus, and whether that can be seen: an outline around it, or around what stands for it.
FOCUS = f"""(() => {{
  const node = document.activeElement;
  if (node === null || node === document.body) return null;
  const shown = node.type === "radio" ? node.nextElementSibling : node;
  const style = getComputedStyle(shown);
  const box = shown.getBoundingClientRect();
  const visible = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && box.width > 0 && box.height > 0
    && box.bottom > 0 && box.top < innerHeight;
  return {{ name: ({_NAME})(node), visible }};
}})()"""
