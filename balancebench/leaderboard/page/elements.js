// Elements and numbers as text. Nothing here reads markup: strings become text nodes.

/**
 * An element with attributes and children; a child that is a string is text, null is left out.
 * @returns {any}
 */
function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** An SVG element. */
function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== false) node.setAttribute(name, String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== ""));
  return node;
}

/** Makes a node say what a fresh one says, and returns it; nodes that are there stay, for layout is what costs most. */
function renewed(node, fresh) {
  if (node.nodeName !== fresh.nodeName) {
    node.replaceWith(fresh);
    return fresh;
  }
  if (node.nodeType === Node.TEXT_NODE) {
    if (node.nodeValue !== fresh.nodeValue) node.nodeValue = fresh.nodeValue;
    return node;
  }
  for (const { name } of [...node.attributes]) if (!fresh.hasAttribute(name)) node.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  const children = [...fresh.childNodes];
  while (node.childNodes.length > children.length) node.lastChild.remove();
  children.forEach((child, index) => {
    if (index < node.childNodes.length) renewed(node.childNodes[index], child);
    else node.append(child);
  });
  return node;
}

/** Brings the children of a node into this order; those that stand rightly among themselves are not moved. */
function setOrder(parent, wanted) {
  const positions = new Map([...parent.children].map((child, position) => [child, position]));
  const kept = new Set(longestRise(wanted.map((child) => positions.get(child) ?? -1)).map((index) => wanted[index]));
  const all = new Set(wanted);
  for (const child of positions.keys()) if (!all.has(child)) child.remove();
  let next = null;
  for (const child of [...wanted].reverse()) {
    if (!kept.has(child)) parent.insertBefore(child, next);
    next = child;
  }
}

/** Where the longest rising sequence of positions stands; negative ones take no part. */
function longestRise(positions) {
  const ends = []; // of rises of length 1, 2, ...: where the one stands that ends lowest
  const before = new Array(positions.length).fill(-1);
  positions.forEach((position, index) => {
    if (position < 0) return;
    let length = ends.findIndex((end) => positions[end] >= position);
    if (length < 0) length = ends.length;
    before[index] = length ? ends[length - 1] : -1;
    ends[length] = index;
  });
  const rise = [];
  for (let index = ends.at(-1) ?? -1; index >= 0; index = before[index]) rise.push(index);
  return rise.reverse();
}

/**
 * The element of the page that has this id, of whatever kind the template makes it.
 * @returns {any}
 */
function part(id) {
  return document.getElementById(id);
}

/** Text that only a screen reader says. */
function unseen(text) {
  return element("span", { class: "unseen" }, text);
}

/** A name that may break after underscores. */
function breakable(name) {
  return name.split(/(?<=_)/).flatMap((piece, index) => (index ? [element("wbr"), piece] : [piece]));
}

/** A number as the page shows it: per cent with two decimals, else by magnitude, as balancebench/leaderboard/format.py. */
function numberText(value, unit, signed = false) {
  let scaled = value;
  let decimals = 0;
  if (unit === "%") {
    scaled = 100 * value;
    decimals = 2;
  } else if (!unit) {
    const size = Math.abs(value);
    decimals = size > 0 && size < 0.01 ? 5 : size < 10 ? 3 : size < 100 ? 2 : size < 1000 ? 1 : 0;
  }
  const text = grouped(Math.abs(scaled).toFixed(decimals));
  const isZero = Number(Math.abs(scaled).toFixed(decimals)) === 0;
  if (isZero) return text;
  return (scaled < 0 ? "-" : signed ? "+" : "") + text;
}

function grouped(text) {
  const [whole, fraction] = text.split(".");
  const divided = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction === undefined ? divided : `${divided}.${fraction}`;
}

/** A signed difference with its interval in brackets. */
function differenceText(mean, interval, unit) {
  const text = numberText(mean, unit, true);
  return interval ? `${text} [${interval.map((bound) => numberText(bound, unit, true)).join(", ")}]` : text;
}

/** A p value in words that do not pretend to more than they are. */
function pText(p) {
  return p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`;
}

/** A table of texts; the first column heads its rows. */
function plainTable(caption, headings, rows) {
  return element(
    "div",
    { class: "frame", tabindex: "0", role: "region", "aria-label": caption },
    element(
      "table",
      { class: "plain" },
      element("caption", {}, caption),
      element("thead", {}, element("tr", {}, headings.map((text) => element("th", { scope: "col" }, text)))),
      element(
        "tbody",
        {},
        rows.map(([head, ...cells]) =>
          element("tr", {}, element("th", { scope: "row" }, head), cells.map((cell) => element("td", {}, cell))),
        ),
      ),
    ),
  );
}
