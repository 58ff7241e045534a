// The table: its columns, the order of its rows, and the marks beside them.

const DASH = "-";

/** What a cell shows where there is nothing: a dash, and why. */
function nothing(reason) {
  return { text: DASH, value: null, reason };
}

/**
 * The columns of a table for one metric. priority: 0 always, 1 from 720 pixels, 2 from 940, 3 from 1140, 4 from 1400, 5 only when asked for.
 * standing: what a mix makes of the rows, null where they are as scored.
 * @param {PageTable} table
 */
function columnsOf(table, metric, mix) {
  const unit = table.metrics[metric].unit;
  const isRanking = metric === table.ranked_by;
  const standingOf = (row) => (mix ? mix.standings.get(row) ?? null : null);
  const columns = [
    {
      key: "rank",
      title: "#",
      priority: 0,
      cell: (row) => {
        const standing = standingOf(row);
        if (!mix) return row.rank;
        return standing && standing.rank ? { text: String(standing.rank), value: standing.rank, reason: "" } : nothing(mix.reason);
      },
    },
    { key: "range", title: "range", priority: 1, cell: (row) => rangeCell(table, row, mix, standingOf(row)) },
    { key: "name", title: "balancer", priority: 0, cell: (row) => ({ text: row.name, value: row.name, reason: "" }) },
    { key: "chart", title: table.floor === null ? "seeds" : "against the floor", priority: 2, cell: null },
  ];
  columns.push({
    key: "score",
    title: mix ? "accuracy of the mix (%)" : table.headings[metric],
    priority: 0,
    cell: (row) => (mix ? mixScore(standingOf(row), mix) : row.metrics[metric].score),
  });
  if (table.floor !== null) {
    columns.push({ key: "difference", title: "vs floor [95 %]", priority: 1, cell: (row) => (mix ? mix.differenceOf(row) : row.metrics[metric].difference) });
  }
  if (table.has_gap) {
    columns.push({ key: "gap", title: "gap closed", priority: 3, cell: (row) => (mix ? mix.gapOf(row) : row.metrics[metric].gap) });
  }
  if (table.has_optimism && isRanking && !mix) {
    columns.push({ key: "optimism", title: "vs last epoch", priority: 2, cell: (row) => row.optimism });
  }
  if (table.has_cross_fit && !mix) {
    columns.push({ key: "crossfit", title: "accuracy, cross-fitted (%)", priority: 4, cell: (row) => row.cross_fitted });
  }
  if (!mix && table.rows.some((row) => row.metrics[metric].published.value !== null)) {
    columns.push({ key: "published", title: "published", priority: 2, cell: (row) => row.metrics[metric].published });
    columns.push({ key: "ours", title: "ours - published", priority: 2, cell: (row) => row.metrics[metric].ours_minus_published });
  }
  let others = 0;
  table.metrics.forEach((_, other) => {
    if (other === metric && !mix) return;
    others += 1;
    columns.push({ key: `metric${other}`, title: table.headings[other], priority: others === 1 ? 4 : 5, cell: (row) => row.metrics[other].score });
  });
  columns.push({ key: "cells", title: "cells", priority: 3, cell: (row) => row.cells });
  table.cost_names.forEach((name, index) => {
    columns.push({ key: `cost${index}`, title: name, priority: index === 0 ? 3 : 5, cell: (row) => row.costs[index] });
  });
  return columns.map((column) => ({ ...column, unit }));
}

/** @param {PageTable} table @param {PageRow} row */
function rangeCell(table, row, mix, standing) {
  const range = mix ? standing && standing.range : row.range;
  if (range) return { text: range[0] === range[1] ? String(range[0]) : range.join("-"), value: range[0] + range[1] / 1e6, reason: "" };
  if (row.role === "ceiling") return nothing("the ceiling is not ranked");
  return nothing(mix ? mix.rangeReason : row.unranked || row.problem || (table.report === "best_test" ? TEST_SET_CHOSE : "a range needs two seeds"));
}

function mixScore(standing, mix) {
  if (!standing) return nothing(mix.reason);
  const spread = standing.scores.length > 1 ? ` ± ${numberText(Math.sqrt(varianceOf(standing.scores)), "%")}` : "";
  const mean = meanOf(standing.scores);
  return { text: `${numberText(mean, "%")}${spread}`, value: mean, reason: "" };
}

/** Rows in the order asked for: "key" or "key:down"; those without a value last, in the table's own order. */
function sortedRows(rows, columns, sort) {
  const [key, direction] = sort.split(":");
  const column = columns.find((candidate) => candidate.key === key && candidate.cell);
  if (!column) return rows;
  const sign = direction === "down" ? -1 : 1;
  const values = new Map(rows.map((row) => [row, column.cell(row).value]));
  const order = (a, b) => {
    const [first, second] = [values.get(a), values.get(b)];
    if (first === null || second === null) return Number(first === null) - Number(second === null);
    return sign * (typeof first === "string" ? first.localeCompare(second, "en") : first - second);
  };
  return [...rows].sort(order); // sorting is stable
}

/**
 * What a picture of a row shows.
 * @param {PageTable} table
 * @param {PageRow} row
 */
function chartMark(table, row, metric, mix) {
  if (mix) return mix.markOf(row);
  const cells = row.metrics[metric];
  const dots = dotsOf(table, row, metric);
  const mean = table.floor === null ? cells.score.value : row === table.rows[table.floor] ? 0 : cells.difference.value;
  return { dots, mean: dots.length ? mean : null, thick: cells.seeds_interval, thin: cells.full_interval, aboutZero: table.floor !== null };
}

/** What stands of a table: its elements, and of each cell what it was made from, so that only what differs is made anew. */
const board = { layout: "", heading: "", caption: null, head: null, body: null, lines: new Map() };

/**
 * Brings the table in `frame` to the rows `shown`, in their order. Lines are kept, as are cells that say the same.
 * sliding: lines far off the screen keep what they say until they are drawn without.
 * @param {PageTable} table
 */
function drawBoard(frame, table, view, columns, shown, mix, sliding = false) {
  const marks = new Map(table.rows.map((row) => [row, chartMark(table, row, view.metric, mix)]));
  const axis = rangeOf(table.rows.filter((row) => row.role !== "ceiling").map((row) => marks.get(row)));
  const classOf = (column) => {
    const asked = view.columns.get(column.key);
    return `p${column.priority}${asked === undefined ? "" : asked ? " shown" : " gone"}`;
  };
  const classes = columns.map(classOf);
  const layout = JSON.stringify([table.id, columns.map((column) => column.key), classes]);
  if (layout !== board.layout || !frame.contains(board.body)) setBoard(frame, layout);
  drawHead(table, view, columns, classes);
  const wide = window.matchMedia("(min-width: 1600px)").matches;
  const [first, last] = sliding ? positionsInSight(shown.length) : [0, shown.length];
  shown.forEach((row, position) => {
    if ((position < first || position > last) && board.lines.has(row.id)) return;
    const level = mix ? Boolean(mix.standings.get(row)?.level) : row.level;
    const line = board.lines.get(row.id) ?? newLine(row);
    const kinds = [row.role, level && "level", row.rank.value === null && row.role !== "ceiling" && "unranked", row.id === view.row && "chosen"];
    setClass(line.element, kinds.filter(Boolean).join(" "));
    line.box.checked = row.id === view.a || row.id === view.b;
    columns.forEach((column, index) => {
      const [key, newCell] = column.key === "chart" ? chartCell(table, view, row, marks.get(row), axis, mix, wide) : textCell(table, view, row, column, level, mix);
      if (line.keys[index] === key) return;
      const cell = newCell(classes[index]);
      line.keys[index] = key;
      line.cells[index] = line.cells[index] ? renewed(line.cells[index], cell) : line.element.insertBefore(cell, line.tick);
    });
  });
  setOrder(board.body, shown.map((row) => board.lines.get(row.id).element));
}

function setBoard(frame, layout) {
  Object.assign(board, { layout, heading: "", caption: element("caption"), head: element("thead"), body: element("tbody"), lines: new Map() });
  frame.replaceChildren(element("table", { class: "board" }, board.caption, board.head, board.body));
}

/** The positions of the first and last line near the screen. */
function positionsInSight(lines) {
  const { top, height } = board.body.getBoundingClientRect();
  const position = (y) => Math.round(((y - top) / (height || 1)) * lines);
  return [position(-innerHeight / 4), position(1.25 * innerHeight)];
}

function setClass(node, name) {
  if (node.className !== name) node.className = name;
}

/** @param {PageRow} row */
function newLine(row) {
  const box = element("input", { type: "checkbox", "aria-label": `compare ${row.name}`, "data-compare": row.id });
  const tick = element("td", { class: "compared" }, element("label", { class: "tick" }, box));
  const line = { element: element("tr", { "data-row": row.id }, tick), tick, box, keys: [], cells: [] };
  board.lines.set(row.id, line);
  return line;
}

/** @param {PageTable} table */
function drawHead(table, view, columns, classes) {
  const heading = JSON.stringify([view.sort, view.reports > 1, columns.map((column) => column.title)]);
  if (heading === board.heading) return;
  board.heading = heading;
  const [sortKey, direction] = view.sort.split(":");
  const heads = columns.map((column, index) => {
    const isSorted = column.key === sortKey;
    const sorted = isSorted ? (direction === "down" ? "descending" : "ascending") : null;
    const arrow = isSorted ? (direction === "down" ? " ▾" : " ▴") : "";
    const content = column.cell ? element("button", { type: "button", "data-sort": column.key }, breakable(column.title), arrow) : column.title;
    return element("th", { scope: "col", "aria-sort": sorted, class: `${classes[index]}${column.key === "name" ? " name" : ""}` }, content);
  });
  board.caption.textContent = `${table.task}${view.reports > 1 ? `, ${table.report_title.toLowerCase()}` : ""}`;
  board.head.replaceChildren(element("tr", {}, heads, element("th", { scope: "col", class: "compared" }, element("span", {}, "compare"))));
}

/**
 * What the picture of a row is made from, and a function that makes its cell.
 * @param {PageTable} table
 * @param {PageRow} row
 * @returns {[string, (classes: string) => any]}
 */
function chartCell(table, view, row, mark, axis, mix, wide) {
  const newCell = (classes) => {
    const words = chartWords(row, mark, mix ? "%" : table.metrics[view.metric].unit);
    return element("td", { class: classes }, mark.dots.length ? intervalChart(mark, axis, words, wide) : [DASH, unseen(row.problem || "no seed to compare")]);
  };
  return [JSON.stringify([mark, axis, wide]), newCell];
}

/**
 * What a cell is made from, and a function that makes it.
 * @param {PageTable} table
 * @param {PageRow} row
 * @returns {[string, (classes: string) => any]}
 */
function textCell(table, view, row, column, level, mix) {
  if (column.key === "name") return [String(row.id === view.row), (classes) => nameCell(row, view, classes)];
  const cell = column.cell(row);
  const isLevel = column.key === "rank" && level;
  const verdict = column.key === "difference" && !mix && view.metric === table.ranked_by ? row.verdict : "";
  const newCell = (classes) => {
    const content = [cell.text];
    if (isLevel) content.push(unseen(", level with the first"));
    if (cell.text === DASH && cell.reason) content.push(unseen(` ${cell.reason}`));
    if (column.key === "difference" && cell.value !== null) {
      const [mean, ...bounds] = cell.text.split(" ["); // bounds may be followed by "this run only"
      const kind = verdict.startsWith("better") ? "better" : verdict.startsWith("worse") ? "worse" : "";
      content.splice(0, 1, element("span", { class: kind }, mean), bounds.length ? element("span", { class: "bounds" }, ` [${bounds[0]}`) : "");
      if (kind) content.push(unseen(`, ${verdict}`));
    }
    return element("td", { class: classes, title: cell.reason || null }, content);
  };
  return [`${cell.text}\n${cell.reason}\n${isLevel}\n${verdict}`, newCell];
}

/** @param {PageRow} row */
function chartWords(row, mark, unit) {
  const parts = [`${mark.dots.length} ${mark.dots.length === 1 ? "seed" : "seeds"}`];
  if (mark.mean !== null) parts.push(`mean ${numberText(mark.mean, unit, mark.aboutZero)}`);
  const bounds = mark.thin || mark.thick;
  if (bounds) parts.push(`95 % interval ${bounds.map((bound) => numberText(bound, unit, mark.aboutZero)).join(" to ")}`);
  return parts.join(", ");
}

/** @param {PageRow} row */
function nameCell(row, view, classes) {
  const button = element(
    "button",
    { type: "button", "aria-expanded": String(row.id === view.row), "aria-controls": "detail", "data-open": row.id },
    breakable(row.name),
  );
  return element(
    "th",
    { scope: "row", class: `name ${classes}` },
    button,
    row.role === "entry" ? null : [" ", element("span", { class: "role" }, `(${row.role})`)],
    row.marks.map((mark) => [" ", element("span", { class: "mark", title: mark.text }, mark.word)]).flat(),
    row.exposure ? [" ", element("span", { class: "aside" }, row.exposure)] : null,
    row.problem ? [" ", element("span", { class: "aside" }, row.problem)] : null,
    !row.problem && row.unranked ? [" ", element("span", { class: "aside" }, row.unranked)] : null,
  );
}
