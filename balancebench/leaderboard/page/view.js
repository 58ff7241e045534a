// What is shown and how it is changed: controls, links to a view, and the first drawing.

const MOST_REMARKS = 4; // beyond, all but three are folded
const suite = JSON.parse(part("index").textContent);
const view = { task: "", metric: 0, row: "", a: "", b: "", mix: "", sort: "", find: "", unmarked: false, columns: new Map(), reports: 1 };

/**
 * Takes over what a link asks for, as far as it exists here.
 * @param {PageTable} table
 */
function readLink(table) {
  const asked = new URLSearchParams(location.hash.slice(1));
  const ids = new Set(table.rows.map((row) => row.id));
  const known = (name) => (ids.has(asked.get(name)) ? asked.get(name) : "");
  const metric = table.metrics.findIndex((of) => of.label === asked.get("metric"));
  view.metric = metric >= 0 ? metric : table.ranked_by ?? 0;
  view.row = known("row");
  view.a = known("a");
  view.b = known("b") === view.a ? "" : known("b");
  view.mix = isMix(asked.get("mix") ?? "", table) ? asked.get("mix") : "";
  view.sort = /^[a-z]+\d*(:down)?$/.test(asked.get("sort") ?? "") ? asked.get("sort") : "";
  view.find = (asked.get("find") ?? "").slice(0, 200);
  view.unmarked = asked.get("unmarked") === "1";
}

/** @param {PageTable} table */
function writeLink(table) {
  const asked = new URLSearchParams();
  if (view.task !== suite.tables[0].id) asked.set("task", view.task);
  if (view.metric !== (table.ranked_by ?? 0)) asked.set("metric", table.metrics[view.metric].label);
  for (const name of ["row", "a", "b", "mix", "sort", "find"]) if (view[name]) asked.set(name, view[name]);
  if (view.unmarked) asked.set("unmarked", "1");
  const text = asked.toString();
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
}

/**
 * What a mix makes of a table, null where it is shown as scored.
 * @param {PageTable} table
 */
function mixOf(table) {
  if (!view.mix || table.counts === null) return null;
  const { counts } = table;
  const weights = mixWeights(view.mix, table);
  const under = standingsUnder(table, weights);
  const enough = effectiveImages(weights, counts) >= FEWEST_EFFECTIVE_IMAGES;
  const floor = table.floor === null ? -1 : counts.rows.indexOf(table.floor);
  const ceilingRow = table.rows.findIndex((row) => row.role === "ceiling");
  const ceiling = counts.rows.indexOf(ceilingRow);
  const room = ceiling >= 0 && floor >= 0 ? differenceOf(counts, ceiling, floor, weights, under.scores).mean : null;
  const positions = new Map(counts.rows.map((index, position) => [table.rows[index], position]));
  const differences = new Map();
  const from = (row) => {
    const position = positions.get(row);
    if (position === undefined || floor < 0 || position === floor) return null;
    if (!differences.has(row)) differences.set(row, differenceOf(counts, position, floor, weights, under.scores));
    return differences.get(row);
  };
  const reason = "not every seed of it has its test images recorded";
  return {
    ...under,
    weights,
    reason,
    rangeReason: under.untold,
    differenceOf: (row) => {
      const difference = from(row);
      if (!difference) return nothing(table.rows.indexOf(row) === table.floor ? "this is the floor" : reason);
      return { text: differenceText(difference.mean, enough ? intervalOf(difference) : null, "%"), value: difference.mean, reason: "" };
    },
    gapOf: (row) => {
      const difference = from(row);
      if (!difference || room === null) return nothing("there is no floor or no ceiling to compare with");
      if (room <= 0 || Math.abs(difference.mean) > 10 * room) return nothing("the gap between floor and ceiling is too small here");
      return { text: `${((100 * difference.mean) / room).toFixed(0)} %`, value: difference.mean / room, reason: "" };
    },
    markOf: (row) => {
      const difference = from(row);
      if (positions.get(row) === floor) return { dots: counts.seeds.map(() => 0), mean: 0, thick: null, thin: null, aboutZero: true };
      if (!difference) return { dots: [], mean: null, thick: null, thin: null, aboutZero: true };
      const thin = enough && difference.covers === "both" ? intervalOf(difference) : null;
      return { dots: difference.values, mean: difference.mean, thick: seedsIntervalOf(difference), thin, aboutZero: true };
    },
  };
}

/**
 * The rows that are shown, in their order.
 * @param {PageTable} table
 */
function shownRows(table, columns, mix) {
  const wanted = view.find.trim().toLowerCase();
  let rows = table.rows.filter((row) => !wanted || [row.name, ...row.marks.map((mark) => mark.word)].some((text) => text.toLowerCase().includes(wanted)));
  if (view.unmarked) rows = rows.filter((row) => !row.marks.length);
  if (view.sort) return sortedRows(rows, columns, view.sort);
  return mix ? sortedRows(rows, columns, "rank") : rows;
}

let leader = "";

/**
 * Draws everything; what is the same as before stays as it is.
 * @param {PageTable} table
 */
function draw(table) {
  const { mix, columns } = drawRows(table);
  part("table-warning").textContent = table.warning;
  part("table-warning").hidden = !table.warning;
  const measures = table.measures.length ? [`Training images before balancing: ${table.measures.join(", ")}.`] : [];
  const remarks = [...measures, ...table.remarks].map((text) => element("li", {}, text));
  const folded = remarks.splice(remarks.length > MOST_REMARKS ? MOST_REMARKS - 1 : MOST_REMARKS);
  part("remarks").replaceChildren(...remarks, folded.length ? element("li", {}, element("details", {}, element("summary", {}, `${folded.length} more remarks`), element("ul", {}, folded))) : "");
  drawControls(table, columns);
  drawDetail(table);
  drawComparison(table, mix);
  writeLink(table);
}

/**
 * Draws the rows and the sentence above them.
 * @param {PageTable} table
 */
function drawRows(table, sliding = false) {
  const mix = mixOf(table);
  const columns = columnsOf(table, view.metric, mix);
  const shown = shownRows(table, columns, mix);
  drawBoard(part("frame"), table, view, columns, shown, mix, sliding);
  part("said").textContent = saidOf(table, shown, mix);
  return { mix, columns };
}

/**
 * Draws what a slide moves, once a frame; lines off the screen, links and controls follow when it ends.
 * @param {PageTable} table
 */
function drawSlide(table) {
  const { mix } = drawRows(table, true);
  if (view.a && view.b) drawComparison(table, mix);
}

/** @param {PageTable} table */
function saidOf(table, shown, mix) {
  const filtered = shown.length < table.rows.length ? ` ${shown.length} of ${table.rows.length} rows shown.` : "";
  if (!mix) {
    leader = "";
    return table.summary + filtered;
  }
  const first = [...mix.standings].filter(([, standing]) => standing.rank === 1).map(([row]) => row.name).join(" and ");
  const before = leader && leader !== first ? ` (it was ${leader})` : "";
  leader = first;
  const separated = mix.separated === null ? mix.rangeReason : `${mix.separated} of ${mix.pairs} pairs of rows are told apart`;
  return `First under ${mixName(view.mix)}: ${first}${before}; ${separated}.${filtered}`;
}

/** @param {PageTable} table */
function drawControls(table, columns) {
  part("metric").replaceChildren(...table.metrics.map((_, index) => element("option", { value: index, selected: index === view.metric }, table.headings[index])));
  part("metric").disabled = Boolean(view.mix);
  if (part("find").value !== view.find) part("find").value = view.find;
  part("unmarked").checked = view.unmarked;
  const slides = /^\d+$/.test(view.mix);
  part("mix-tested").checked = !view.mix;
  part("mix-slides").checked = slides;
  part("mix-reversed").checked = view.mix === "reversed";
  part("mix-own").checked = view.mix.startsWith("w");
  drawWeights(part("mix-weights"), table, view.mix);
  if (slides) part("mix-share").value = view.mix;
  part("mix-offered").hidden = table.counts === null;
  part("mix-withheld").hidden = table.counts !== null;
  part("mix-withheld").textContent = `not offered: ${table.counts_reason}`;
  const boxes = columns.filter((column) => !["rank", "name", "score"].includes(column.key)).map((column) => {
    const box = element("input", { type: "checkbox", "data-column": column.key });
    box.checked = view.columns.get(column.key) ?? isWideEnough(column.priority);
    box.addEventListener("change", () => {
      view.columns.set(column.key, box.checked);
      draw(table);
      part("columns").querySelector(`[data-column="${column.key}"]`).focus();
    });
    return element("label", { class: "tick" }, box, ` ${column.title}`);
  });
  part("columns").replaceChildren(...boxes);
}

function isWideEnough(priority) {
  return priority < 5 && window.matchMedia(`(min-width: ${[0, 720, 940, 1140, 1400][priority]}px)`).matches;
}

/** @param {PageTable} table */
function sortBy(table, key) {
  const order = ["rank", "range", "name"].includes(key) ? [key, `${key}:down`, ""] : [`${key}:down`, key, ""];
  view.sort = order[(order.indexOf(view.sort) + 1) % 3];
  draw(table);
  part("frame").querySelector(`[data-sort="${key}"]`).focus();
}

/** @param {PageTable} table */
function openRow(table, id) {
  view.row = view.row === id ? "" : id;
  draw(table);
  if (view.row) {
    part("detail").focus({ preventScroll: true });
    part("detail").scrollIntoView({ block: "nearest" });
  } else {
    focusRow(id);
  }
}

function focusRow(id) {
  part("frame").querySelector(`[data-open="${id}"]`)?.focus();
}

function opened(title, close) {
  const button = element("button", { type: "button" }, "Close");
  button.addEventListener("click", close);
  return element("div", { class: "opened" }, element("h2", {}, title), button);
}

/** @param {PageTable} table */
function drawDetail(table) {
  const row = table.rows.find((candidate) => candidate.id === view.row);
  part("detail").hidden = !row;
  if (!row) return part("detail").replaceChildren();
  part("detail").setAttribute("aria-label", `Row ${row.name}`);
  const parts = detailParts(table, row).flat().filter(Boolean);
  return part("detail").replaceChildren(opened(row.name, () => openRow(table, row.id)), ...parts);
}

/** @param {PageTable} table */
function drawComparison(table, mix) {
  const [a, b] = [view.a, view.b].map((id) => table.rows.find((row) => row.id === id));
  part("compare").hidden = !(a && b);
  if (!a || !b) return part("compare").replaceChildren();
  const close = () => {
    const last = view.b;
    view.a = "";
    view.b = "";
    draw(table);
    part("frame").querySelector(`[data-compare="${last}"]`)?.focus();
  };
  return part("compare").replaceChildren(opened(`${a.name} against ${b.name}`, close), ...comparisonParts(table, a, b, view.metric, mix ? mix.weights : null));
}

/** @param {PageTable} table */
function chooseCompared(table, id, wanted) {
  const others = [view.a, view.b].filter((other) => other && other !== id);
  const chosen = wanted ? [...others, id].slice(-2) : others;
  [view.a, view.b] = [chosen[0] ?? "", chosen[1] ?? ""];
  draw(table);
  part("frame").querySelector(`[data-compare="${id}"]`)?.focus();
}

/** Shows the table that a link or the control asks for. */
async function show(id) {
  const table = await tableOf(id);
  view.task = id;
  draw(table);
  return table;
}

function listen() {
  const current = () => tables.get(view.task);
  const changed = (id, kind, change) => part(id).addEventListener(kind, () => {
    change(part(id));
    draw(current());
  });
  part("task").addEventListener("change", async () => {
    const id = part("task").value;
    const table = await tableOf(id);
    if (view.metric >= table.metrics.length) view.metric = table.ranked_by ?? 0;
    if (!isMix(view.mix, table)) view.mix = "";
    await show(id);
  });
  changed("metric", "change", (control) => { view.metric = Number(control.value); });
  changed("find", "input", (control) => { view.find = control.value; });
  changed("unmarked", "change", (control) => { view.unmarked = control.checked; });
  changed("mix-tested", "change", () => { view.mix = ""; });
  changed("mix-slides", "change", () => { view.mix = part("mix-share").value; });
  changed("mix-reversed", "change", () => { view.mix = "reversed"; });
  changed("mix-own", "change", () => { view.mix = ownMix(view.mix, current()); });
  let asked = 0;
  const slide = (mixAsked) => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(() => {
      const mix = mixAsked();
      if (!isMix(mix, current())) return;
      const before = view.mix;
      view.mix = mix;
      if (before) drawSlide(current());
      else draw(current());
    });
  };
  part("mix-share").addEventListener("input", () => slide(() => part("mix-share").value));
  part("mix-weights").addEventListener("input", () => slide(() => mixOfFields(part("mix-weights"))));
  part("mix-weights").addEventListener("change", () => {
    const mix = mixOfFields(part("mix-weights"));
    if (isMix(mix, current())) view.mix = mix;
    draw(current());
  });
  changed("mix-share", "change", (control) => { view.mix = control.value; });
  part("frame").addEventListener("click", ({ target }) => {
    const button = target instanceof Element ? target.closest("button") : null;
    if (button?.dataset.sort) sortBy(current(), button.dataset.sort);
    else if (button?.dataset.open) openRow(current(), button.dataset.open);
  });
  part("frame").addEventListener("change", ({ target }) => {
    if (target instanceof HTMLInputElement && target.dataset.compare) chooseCompared(current(), target.dataset.compare, target.checked);
  });
  const rows = () => {
    const table = current();
    const mix = mixOf(table);
    return shownRows(table, columnsOf(table, view.metric, mix), mix);
  };
  part("csv").addEventListener("click", () => save(`${suite.name}.csv`, "text/csv", csvText(current(), rows())));
  part("json").addEventListener("click", () => save(`${suite.name}.json`, "application/json", jsonText(suite, current(), rows(), mixOf(current()))));
  part("bibtex").addEventListener("click", () => save(`${suite.name}.bib`, "text/plain", bibtexText(rows())));
  part("theme").addEventListener("click", () => setTheme(isDark() ? "light" : "dark"));
  addEventListener("hashchange", async () => {
    const table = await tableOf(taskOfLink());
    readLink(table);
    await show(table.id);
  });
}

function isDark() {
  return (document.documentElement.dataset.theme ?? (window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  part("theme").textContent = theme === "dark" ? "Light" : "Dark";
}

function taskOfLink() {
  const asked = new URLSearchParams(location.hash.slice(1)).get("task");
  return suite.tables.some((table) => table.id === asked) ? asked : suite.tables[0].id;
}

async function start() {
  if (!suite.tables.length) return;
  part("task").replaceChildren(...suite.tables.map((table) => {
    const several = suite.tables.some((other) => other.report !== table.report);
    return element("option", { value: table.id }, several ? `${table.task}, ${table.report_title.toLowerCase()}` : table.task);
  }));
  view.reports = new Set(suite.tables.map((table) => table.report)).size;
  const table = await tableOf(taskOfLink());
  readLink(table);
  if (window.matchMedia("(max-width: 639px)").matches) part("controls").open = false;
  listen();
  await show(table.id);
  part("task").value = table.id;
  part("theme").textContent = isDark() ? "Light" : "Dark";
  part("theme").hidden = false;
  part("static").hidden = true;
  part("live").hidden = false;
  document.documentElement.dataset.ready = "";
}

start();
