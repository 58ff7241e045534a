// Two rows side by side: one planned comparison, in words.

/**
 * Fills the comparison of rows a and b by a metric, or by a mix where `weights` are its.
 * @param {PageTable} table
 * @param {PageRow} a
 * @param {PageRow} b
 */
function comparisonParts(table, a, b, metric, weights) {
  const unit = weights ? "%" : table.metrics[metric].unit;
  const difference = plannedDifference(table, a, b, metric, weights);
  const name = weights ? "accuracy of the mix" : table.headings[metric];
  const parts = [
    element("p", { class: "verdict" }, element("strong", {}, verdictText(table, a, b, difference, unit, weights ? true : table.metrics[metric].higher_is_better))),
    element("p", { class: "aside" }, `By ${name}. One comparison that was planned is meant: who picks the largest of many differences afterwards goes by the ranges in the table.`),
  ];
  if (difference.values.length > 1) {
    const deviation = Math.sqrt(varianceOf(difference.values));
    const ahead = nextAhead(difference.mean, deviation, difference.values.length);
    const p = pOf(difference);
    const higher = difference.mean >= 0 ? a : b;
    parts.push(element("p", {}, `Confidence that ${higher.name} is higher on average: ${chanceText(1 - p / 2)}. Chance that it is higher in a fresh pair of runs: ${chanceText(difference.mean >= 0 ? ahead : 1 - ahead)}.`));
  }
  const lines = difference.seeds.map((seeds, index) => [seeds, numberText(difference.first[index], unit), numberText(difference.second[index], unit), numberText(difference.values[index], unit, true)]);
  parts.push(
    element(
      "div",
      { class: "columns" },
      element("div", {}, element("h3", {}, "Classes"), whoPays(table, table.rows.indexOf(a), table.rows.indexOf(b))),
      element(
        "div",
        {},
        element("h3", {}, "Seeds"),
        lines.length ? plainTable("Values of the same seeds", ["seed", a.name, b.name, "difference"], lines) : element("p", { class: "aside" }, "No seed has both."),
        element("h3", {}, "Cost"),
        plainTable("Mean over cells", ["cost", a.name, b.name], table.cost_names.map((cost, index) => [cost, a.costs[index].text, b.costs[index].text])),
      ),
    ),
  );
  return parts;
}

/**
 * The difference a - b with what it was made of, over the seeds that both have.
 * @param {PageTable} table
 * @param {PageRow} a
 * @param {PageRow} b
 */
function plannedDifference(table, a, b, metric, weights) {
  const { counts } = table;
  const [first, second] = [a, b].map((row) => (counts ? counts.rows.indexOf(table.rows.indexOf(row)) : -1));
  const ofMetric = counts && counts.weights_MK[metric];
  const weighing = weights || (ofMetric && normalised(ofMetric, counts)); // embedded with eight digits
  if (weighing && first >= 0 && second >= 0) {
    const seen = { first: scoresBySeed(counts, first, weighing), second: scoresBySeed(counts, second, weighing) };
    return { ...differenceOf(counts, first, second, weighing), ...seen, seeds: counts.seeds };
  }
  const [ofA, ofB] = [a.metrics[metric].values, b.metrics[metric].values];
  const seeds = Object.keys(ofA).filter((key) => Object.hasOwn(ofB, key));
  const values = seeds.map((key) => ofA[key] - ofB[key]);
  return {
    mean: values.length ? meanOf(values) : null,
    values,
    first: seeds.map((key) => ofA[key]),
    second: seeds.map((key) => ofB[key]),
    seeds,
    identical: values.length > 0 && values.every((value) => value === 0),
    covers: "seeds",
    variance: { seeds: varianceOf(values) / Math.max(1, values.length), df: Math.max(1, values.length - 1), images: 0, rest: 0 },
  };
}

/** @param {PageTable} table @param {PageRow} a @param {PageRow} b */
function verdictText(table, a, b, difference, unit, higherIsBetter) {
  if (!difference.values.length) return `Not comparable: no seed has both ${a.name} and ${b.name}.`;
  const seeds = `${difference.values.length} ${difference.values.length === 1 ? "seed" : "seeds"}`;
  if (difference.identical && difference.covers !== "seeds") return `The same predictions in every seed (${seeds}).`;
  if (difference.identical) return `The same value in every seed (${seeds}).`;
  const interval = intervalOf(difference);
  const shown = `${differenceText(difference.mean, interval, unit)}${unit === "%" ? " pp" : unit ? ` ${unit}` : ""}`;
  const scope = difference.covers === "both" ? "" : difference.covers === "run" ? ", this run only" : ", on these very test images";
  if (difference.values.length < 2) return `No verdict from one seed: ${a.name} - ${b.name} is ${shown}${scope}.`;
  if (table.report === "best_test") return `No verdict, for the test set chose the epochs: ${a.name} - ${b.name} is ${shown}, ${seeds}${scope}.`;
  const tail = `${shown}, ${seeds}, ${pText(pOf(difference))}${scope}`;
  if (interval[0] <= 0 && interval[1] >= 0) return `Undecided: ${a.name} - ${b.name} is ${tail}.`;
  if (higherIsBetter === null) return `${a.name} differs from ${b.name}: ${tail}.`;
  return `${a.name} is ${difference.mean > 0 === higherIsBetter ? "better" : "worse"} than ${b.name}: ${tail}.`;
}

/** A chance in per cent that never reads as certain. */
function chanceText(chance) {
  return chance > 0.999 ? "over 99.9 %" : `${(100 * chance).toFixed(1)} %`;
}

/** The chance that a fresh pair of runs has the first row higher. */
function nextAhead(mean, deviation, pairs) {
  if (deviation === 0) return mean === 0 ? 0.5 : Number(mean > 0);
  return 1 - tTail(mean / (deviation * Math.sqrt(1 + 1 / pairs)), pairs - 1);
}
