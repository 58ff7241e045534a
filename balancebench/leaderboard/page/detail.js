// All that is known of one row: who pays, what is taken for what, its seeds, costs and origins.

/**
 * Fills the section of a row. position: of the row in table.rows.
 * @param {PageTable} table
 * @param {PageRow} row
 */
function detailParts(table, row) {
  const position = table.rows.indexOf(row);
  return [
    element("p", {}, standingText(table, row)),
    differenceLine(table, row),
    row.marks.length ? element("dl", {}, row.marks.flatMap((mark) => [element("dt", {}, element("span", { class: "mark" }, mark.word)), element("dd", {}, mark.text)])) : null,
    notDone(row),
    row.notes.length ? element("ul", {}, row.notes.map((note) => element("li", {}, note))) : null,
    element(
      "div",
      { class: "columns" },
      element("div", {}, element("h3", {}, "Who pays"), whoPays(table, position, table.floor)),
      element("div", {}, element("h3", {}, "What is taken for what"), confusion(table, position)),
      element("div", {}, element("h3", {}, "Epochs"), crossFit(row), curvesPart(table, row)),
      element("div", {}, element("h3", {}, "Seeds"), seedsTable(table, row)),
      picturesPart(table, row),
      published(row),
      element("div", {}, element("h3", {}, "Cost"), costs(table, row)),
      element("div", {}, element("h3", {}, "Where it comes from"), origins(row)),
    ),
  ];
}

/** @param {PageTable} table @param {PageRow} row */
function standingText(table, row) {
  if (row.problem) return `Nothing of it is done: ${row.problem}.`;
  if (row.role === "ceiling") return "The ceiling: training on all images. It is not ranked.";
  if (row.rank.value === null) return `Not ranked: ${row.unranked.replace(/^not ranked: /, "")}.`;
  const parts = [`Rank ${row.rank.text} by ${table.headings[table.ranked_by]}`];
  if (row.range) parts.push(row.range[0] === row.range[1] ? "and no other" : `which may be ${row.range[0]} to ${row.range[1]}`);
  if (row.level) parts.push("level with the first");
  if (row.role === "floor") parts.push("the floor");
  if (row.verdict) parts.push(row.verdict);
  return `${parts.join(", ")}.`;
}

/**
 * The difference from the floor by the metric that ranks: on narrow screens the table has no column for it.
 * @param {PageTable} table
 * @param {PageRow} row
 */
function differenceLine(table, row) {
  if (table.ranked_by === null || row.metrics[table.ranked_by].difference.value === null) return null;
  const { difference, gap } = row.metrics[table.ranked_by];
  const closed = gap.value === null || row.role === "ceiling" ? "" : `; gap closed ${gap.text}${gap.reason ? ` (${gap.reason})` : ""}`;
  return element("p", {}, `${table.headings[table.ranked_by]} against the floor: ${difference.text}${difference.reason ? ` (${difference.reason})` : ""}${closed}.`);
}

/** @param {PageRow} row */
function notDone(row) {
  if (!row.not_done.length) return null;
  return element("ul", {}, row.not_done.map((problem) => element("li", {}, `${problem.words}: ${problem.message}`)));
}

/**
 * Differences of the classes of two rows, by their positions in table.rows.
 * @param {PageTable} table
 */
function whoPays(table, position, other) {
  const { counts } = table;
  if (counts === null) return element("p", { class: "aside" }, `Not shown: ${table.counts_reason}.`);
  if (other === null) return element("p", { class: "aside" }, "Not shown: there is no floor to compare with.");
  if (position === other) return element("p", { class: "aside" }, "This is the floor, which others are compared with.");
  const [a, b] = [counts.rows.indexOf(position), counts.rows.indexOf(other)];
  if (a < 0 || b < 0) return element("p", { class: "aside" }, "Not shown: not every seed of it has its test images recorded.");
  const recall = (row, label) => meanOf(counts.right_RSK[row].map((right) => right[label] / counts.test_K[label]));
  const classes = classDifferences(counts, a, b).map((difference) => ({
    name: table.class_names[difference.label] ?? String(difference.label),
    train: numberText(table.train_K[difference.label] ?? 0, "images"),
    from: recall(b, difference.label),
    to: recall(a, difference.label),
    verdict: difference.verdict,
    interval: difference.interval,
  }));
  let shown = classes;
  let left = "";
  if (classes.length > MOST_CLASSES) {
    const ordered = [...classes].sort((x, y) => x.to - x.from - (y.to - y.from));
    shown = [...groupDifferences(table, a, b), ...ordered.slice(0, 10), ...ordered.slice(-10)];
    left = ` First the classes with more than 100, with 20 to 100 and with fewer training images, then the ten classes that lose most and the ten that gain most, of ${classes.length}.`;
  }
  const names = `${table.rows[position].name} against ${table.rows[other].name}`;
  return [
    element("p", { class: "aside" }, `Recall of each class, from ${table.rows[other].name} (ring) to ${table.rows[position].name} (dot); training images in brackets; below, the 95 % interval. Gains and pays in words where that holds for a look at all classes (Holm).${left}`),
    dumbbells(shown, `Recall by class, ${names}`),
    element("details", {}, element("summary", {}, "as a table"), plainTable(
      `Recall by class, ${names}`,
      ["class", "training images", table.rows[other].name, table.rows[position].name, "difference", "verdict"],
      shown.map((of) => [of.name, of.train, numberText(of.from, "%"), numberText(of.to, "%"), differenceText(of.to - of.from, of.interval, "%"), of.verdict || DASH]),
    )),
  ];
}

/**
 * The differences of groups of classes by their training images; rows are positions in counts.rows.
 * @param {PageTable} table
 */
function groupDifferences(table, a, b) {
  const { counts } = table;
  return groupsOf(table).map(({ name, labels }) => {
    const members = new Set(labels);
    const weights = normalised(counts.test_K.map((_, label) => Number(members.has(label))), counts);
    const difference = differenceOf(counts, a, b, weights);
    const [to, from] = [a, b].map((row) => meanOf(scoresBySeed(counts, row, weights)));
    const interval = difference.covers === "both" ? intervalOf(difference) : null;
    return { name, train: `${labels.length} classes`, from, to, verdict: "", interval };
  });
}

/** @param {PageTable} table */
function confusion(table, position) {
  const { counts } = table;
  if (counts === null) return element("p", { class: "aside" }, `Not shown: ${table.counts_reason}.`);
  const row = counts.rows.indexOf(position);
  if (row < 0) return element("p", { class: "aside" }, "Not shown: not every seed of it has its test images recorded.");
  const name = (label) => table.class_names[label] ?? String(label);
  const seeds = counts.seeds.length;
  if (counts.confusion_RKK === null) {
    const lines = counts.commonest_RK[row].flatMap((wrong, label) =>
      wrong.length ? [[name(label), wrong.map(([predicted, images]) => `${name(predicted)} ${share(images, seeds * counts.test_K[label])}`).join(", ")]] : [],
    );
    return plainTable("The commonest wrong predictions of each class", ["class", "taken for"], lines);
  }
  const matrix = counts.confusion_RKK[row];
  const lines = matrix.map((images, label) => {
    const total = images.reduce((sum, count) => sum + count, 0);
    return [name(label), ...images.map((count) => (total ? [share(count, total), bar(count / total)] : [DASH, unseen(" no test images")]))];
  });
  const shown = plainTable(`Predictions of each class in per cent, over ${seeds === 1 ? "one seed" : `${seeds} seeds`}; a row is a true class`, ["class", ...matrix.map((_, label) => name(label))], lines);
  shown.classList.add("confusion");
  return shown;
}

function share(count, total) {
  return count === 0 ? "0" : (100 * count) / total < 0.1 ? "<0.1" : ((100 * count) / total).toFixed(1);
}

function bar(part) {
  return drawn("svg", { width: 40, height: 4, "aria-hidden": "true" }, drawn("rect", { class: "share", x: 0, y: 0, width: (40 * part).toFixed(2), height: 4 }));
}

/**
 * The curves of a row: empty until their block is inflated.
 * @param {PageTable} table
 * @param {PageRow} row
 */
function curvesPart(table, row) {
  const container = element("div", { class: "by-epoch" });
  drawCurves(container, table, row);
  return container;
}

/** @param {PageRow} row */
function crossFit(row) {
  if (row.cross_fitted.value === null) return null;
  return element("p", {}, `Cross-fitted best: ${row.cross_fitted.text} (${row.cross_fitted.reason}).`);
}

/** @param {PageTable} table @param {PageRow} row */
function seedsTable(table, row) {
  if (!Object.keys(row.epochs).length) return element("p", { class: "aside" }, "No seed is done.");
  const lines = Object.keys(row.epochs).map((seeds) => [
    seeds,
    String(row.epochs[seeds]),
    ...table.metrics.map((metric, index) => {
      const value = row.metrics[index].values[seeds];
      return value === undefined ? [DASH, unseen(" undefined")] : numberText(value, metric.unit === "s" ? "" : metric.unit);
    }),
  ]);
  return plainTable("Values of each seed", ["seed", "epoch", ...table.headings], lines);
}

/** @param {PageRow} row */
function published(row) {
  if (!row.numbers.length) return null;
  const lines = row.numbers.map((number) => [number.metric, number.value, number.difference, `${number.source}${number.protocol ? `; another protocol: ${number.protocol}` : ""}`]);
  return element("div", {}, element("h3", {}, "Published numbers"), plainTable("What papers report", ["metric", "published", "ours - published", "source"], lines));
}

/** @param {PageTable} table @param {PageRow} row */
function costs(table, row) {
  if (!table.cost_names.length) return element("p", { class: "aside" }, "Costs are not recorded.");
  const lines = table.cost_names.map((name, index) => [name, row.costs[index].text]);
  return plainTable("Mean over cells, synthesis and training", ["cost", "a cell"], lines);
}

/** @param {PageRow} row */
function origins(row) {
  const parts = row.citation ? [element("p", {}, citation(row.citation))] : [element("p", { class: "aside" }, "No citation is recorded.")];
  if (!row.identities.length) parts.push(element("p", { class: "aside" }, "Options and keys are not recorded."));
  for (const identity of row.identities) {
    const options = Object.entries(identity.options);
    parts.push(
      element("p", {}, `${identity.stage}: ${identity.component} of ${identity.distribution}, revision ${identity.revision}`),
      options.length ? element("details", {}, element("summary", {}, `${options.length} options`), plainTable(`Options of ${identity.component}`, ["option", "value"], options)) : null,
      element("details", {}, element("summary", {}, "keys"), element("p", { class: "keys" }, Object.entries(identity.keys).map(([seeds, key]) => `${seeds}: ${key}`).join("; "))),
    );
  }
  return parts.filter(Boolean);
}

/** A citation whose addresses are links, if they are addresses of the web. */
function citation(text) {
  return text.split(/(https?:\/\/[^\s<>"]+[^\s<>".,;)])/).map((piece, index) =>
    index % 2 ? element("a", { href: piece, rel: "noopener noreferrer" }, piece) : piece,
  );
}
