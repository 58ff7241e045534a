// The table: its columns, the order of its rows, and the marks beside them.

const DASH = "-";

/** What a cell shows where there is nothing: a dash, and why. */
function nothing(reason) {
  return { text: DASH, value: null, reason };
}

/**
 * The columns of a table for one metric. priority: 0 always, 1 from 720 pixels, 2 from 940, 3 from 1140, 4 from 1400, 5 only when asked for.
 * standing: what a mix makes of the rows, null where they are as scored.
 */
function columnsOf(table, metric, mix) {
  const unit = table.metrics[metric].unit;
  const isRanking = metric === table.ranked_by;
  const standingOf = (row) => (mix ? mix.standings.get(table.rows.indexOf(row)) ?? null : null);
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
    if (first === null || second === null) return (first === null) - (second === null);
    return sign * (typeof first === "string" ? first.localeCompare(second, "en") : first - second);
  };
  return [...rows].sort(order); // sorting is stable
}

/** What a picture of a row shows. */
function chartMark(table, row, metric, mix) {
  if (mix) return mix.markOf(row);
  const cells = row.metrics[metric];
  const dots = dotsOf(table, row, metric);
  const mean = table.floor === null ? cells.score.value : row === table.rows[table.floor] ? 0 : cells.difference.value;
  return { dots, mean: dots.length ? mean : null, thick: cells.seeds_interval, thin: cells.full_interval, aboutZero: table.floor !== null };
}

/** The body's rows and the heading of a table; `shown` are the rows in their order. */
function boardElement(table, view, columns, shown, mix, actions) {
  const marks = new Map(table.rows.map((row) => [row, chartMark(table, row, view.metric, mix)]));
  const axis = rangeOf(table.rows.filter((row) => row.role !== "ceiling").map((row) => marks.get(row)));
  const [sortKey, direction] = view.sort.split(":");
  const classOf = (column) => {
    const asked = view.columns.get(column.key);
    return `p${column.priority}${asked === undefined ? "" : asked ? " shown" : " gone"}`;
  };
  const heads = columns.map((column) => {
    const isSorted = column.key === sortKey;
    const sorted = isSorted ? (direction === "down" ? "descending" : "ascending") : null;
    const arrow = isSorted ? (direction === "down" ? " ▾" : " ▴") : "";
    const content = column.cell ? element("button", { type: "button", "data-sort": column.key }, breakable(column.title), arrow) : column.title;
    return element("th", { scope: "col", "aria-sort": sorted, class: `${classOf(column)}${column.key === "name" ? " name" : ""}` }, content);
  });
  const compared = element("th", { scope: "col", class: "compared" }, element("span", {}, "compare"));
  const body = shown.map((row) => {
    const level = mix ? Boolean(mix.standings.get(table.rows.indexOf(row))?.level) : row.level;
    const unranked = row.rank.value === null && row.role !== "ceiling";
    const classes = [row.role, level && "level", unranked && "unranked", row.id === view.row && "chosen"];
    const cells = columns.map((column) => boardCell(table, view, row, column, { classes: classOf(column), marks, axis, level, mix, actions }));
    const box = element("input", { type: "checkbox", "aria-label": `compare ${row.name}`, "data-compare": row.id });
    box.checked = row.id === view.a || row.id === view.b;
    const tick = element("td", { class: "compared" }, element("label", { class: "tick" }, box));
    return element("tr", { class: classes.filter(Boolean).join(" "), "data-row": row.id }, cells, tick);
  });
  return element(
    "table",
    { class: "board" },
    element("caption", {}, `${table.task}${view.reports > 1 ? `, ${table.report_title.toLowerCase()}` : ""}`),
    element("thead", {}, element("tr", {}, heads, compared)),
    element("tbody", {}, body),
  );
}

function boardCell(table, view, row, column, { classes, marks, axis, level, mix, actions }) {
  if (column.key === "chart") {
    const mark = marks.get(row);
    const words = chartWords(row, mark, mix ? "%" : table.metrics[view.metric].unit);
    return element("td", { class: classes }, mark.dots.length ? intervalChart(mark, axis, words) : [DASH, unseen(row.problem || "no seed to compare")]);
  }
  const cell = column.cell(row);
  if (column.key === "name") return nameCell(row, view, classes, actions);
  const content = [cell.text];
  if (column.key === "rank" && level) content.push(unseen(", level with the first"));
  if (cell.text === DASH && cell.reason) content.push(unseen(` ${cell.reason}`));
  if (column.key === "difference" && cell.value !== null) {
    const [mean, ...bounds] = cell.text.split(" ["); // bounds may be followed by "this run only"
    const verdict = mix ? "" : view.metric === table.ranked_by ? row.verdict : "";
    const kind = verdict.startsWith("better") ? "better" : verdict.startsWith("worse") ? "worse" : "";
    content.splice(0, 1, element("span", { class: kind }, mean), bounds.length ? element("span", { class: "bounds" }, ` [${bounds[0]}`) : "");
    if (kind) content.push(unseen(`, ${verdict}`));
  }
  return element("td", { class: `number ${classes}`, title: cell.reason || null }, content);
}

function chartWords(row, mark, unit) {
  const parts = [`${mark.dots.length} ${mark.dots.length === 1 ? "seed" : "seeds"}`];
  if (mark.mean !== null) parts.push(`mean ${numberText(mark.mean, unit, mark.aboutZero)}`);
  const bounds = mark.thin || mark.thick;
  if (bounds) parts.push(`95 % interval ${bounds.map((bound) => numberText(bound, unit, mark.aboutZero)).join(" to ")}`);
  return parts.join(", ");
}

function nameCell(row, view, classes, actions) {
  const button = element(
    "button",
    { type: "button", "aria-expanded": String(row.id === view.row), "aria-controls": "detail", "data-open": row.id },
    breakable(row.name),
  );
  button.addEventListener("click", () => actions.open(row.id));
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
