// From counts by class to differences between rows: docs/page.md says which formula, and
// balancebench/leaderboard/image_moments.py has the same sums.

const SEPARATED = 0.05;
const TEST_SET_CHOSE = "the test set chose the epochs, so that nothing is told apart";
const FEWEST_EFFECTIVE_IMAGES = 100;

function meanOf(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The sample variance, 0 of one value. */
function varianceOf(values) {
  if (values.length < 2) return 0;
  const centre = meanOf(values);
  return values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1);
}

/**
 * Weights of the classes that sum to 1; those without test images have none.
 * @param {ClassCounts} counts
 */
function normalised(weights, counts) {
  const kept = weights.map((weight, label) => (counts.test_K[label] > 0 ? weight : 0));
  const total = kept.reduce((sum, weight) => sum + weight, 0);
  return kept.map((weight) => weight / total);
}

/**
 * How many images of the mix itself would tell as much as the test images do.
 * @param {ClassCounts} counts
 */
function effectiveImages(weights, counts) {
  return 1 / weights.reduce((sum, weight, label) => sum + (weight > 0 ? weight ** 2 / counts.test_K[label] : 0), 0);
}

/**
 * Scores of a row by seed: its right shares of the classes, weighted. row: a position in counts.rows.
 * @param {ClassCounts} counts
 */
function scoresBySeed(counts, row, weights) {
  return counts.right_RSK[row].map((right) => {
    let sum = 0;
    for (let label = 0; label < weights.length; label += 1) {
      if (weights[label] > 0) sum += (weights[label] * right[label]) / counts.test_K[label];
    }
    return sum;
  });
}

/**
 * Where the sums of a pair stand (first < second), -1 where they were left out.
 * @param {ClassCounts} counts
 */
function pairIndex(counts, first, second) {
  const rows = counts.rows.length;
  if (counts.pair_with === null) return (first * (2 * rows - first - 1)) / 2 + (second - first - 1);
  if (counts.pair_with === second) return first;
  if (counts.pair_with === first) return first + (second - first - 1);
  return -1;
}

/**
 * The difference of row a from row b: mean over seeds, values by seed, and variances, see `halfWidth`.
 * scores: those of all rows by seed, where they are known already.
 * covers: "both" seeds and test images, "seeds" alone, "run" for one seed (test images alone).
 * @param {ClassCounts} counts
 */
function differenceOf(counts, a, b, weights, scores = null) {
  const ofA = scores ? scores[a] : scoresBySeed(counts, a, weights);
  const ofB = scores ? scores[b] : scoresBySeed(counts, b, weights);
  const values = ofA.map((score, seed) => score - ofB[seed]);
  const seeds = values.length;
  const moments = imageMoments(counts, a, b, weights);
  return {
    mean: meanOf(values),
    values,
    identical: moments !== null && moments.differing === 0,
    covers: moments === null ? "seeds" : seeds > 1 ? "both" : "run",
    variance: {
      seeds: varianceOf(values) / seeds,
      df: Math.max(1, seeds - 1),
      images: moments === null ? 0 : moments.images,
      rest: moments === null ? 0 : moments.rest,
    },
  };
}

/**
 * What test images say of a pair, null where their sums are not here or a class has fewer than two images.
 * @param {ClassCounts} counts
 */
function imageMoments(counts, a, b, weights) {
  const [first, second] = a < b ? [a, b] : [b, a];
  const pair = pairIndex(counts, first, second);
  if (pair < 0) return null;
  const seeds = counts.seeds.length;
  let images = 0;
  let rest = 0;
  let differing = 0;
  for (let label = 0; label < weights.length; label += 1) {
    const squares = counts.squares_PK[pair][label];
    differing += squares;
    if (!(weights[label] > 0)) continue;
    const count = counts.test_K[label];
    if (count < 2) return null;
    const sums = counts.sums_PK[pair][label];
    let ofSeeds = 0;
    let total = 0;
    for (let seed = 0; seed < seeds; seed += 1) {
      const gain = counts.right_RSK[first][seed][label] - counts.right_RSK[second][seed][label];
      ofSeeds += gain * gain;
      total += gain;
    }
    const ofAll = total * total;
    const ofImages = (count * sums - ofAll) / (seeds ** 2 * count * (count - 1));
    const ofRest =
      seeds === 1
        ? 0
        : (seeds * count * squares - seeds * ofSeeds - count * sums + ofAll) / (seeds * count * (seeds - 1) * (count - 1));
    images += (weights[label] ** 2 * (ofImages - ofRest / seeds)) / count;
    rest += (weights[label] ** 2 * ofRest) / (seeds * count);
  }
  return { images: Math.max(0, images), rest, differing };
}

/** Low and high of an interval of 95 %, or null where one seed leaves none. */
function intervalOf(difference) {
  if (difference.values.length < 2) {
    if (difference.covers !== "run") return null;
    const half = quantilesOf(0.025, 1).z * Math.sqrt(difference.variance.images);
    return [difference.mean - half, difference.mean + half];
  }
  const half = halfWidth(difference.variance);
  return [difference.mean - half, difference.mean + half];
}

/** The interval over seeds alone, on these very test images; null with one seed. */
function seedsIntervalOf(difference) {
  if (difference.values.length < 2) return null;
  return intervalOf({ ...difference, covers: "seeds", variance: { ...difference.variance, images: 0, rest: 0 } });
}

/** p, or null with one seed. */
function pOf(difference) {
  if (difference.values.length < 2) return null;
  return difference.identical ? 1 : pValue(difference.mean, difference.variance);
}

/**
 * Ranks of rows under a mix, and what is told apart: a map from rows of the table; scores: by positions in counts.rows.
 * Only rows that have a rank in the table take part; ranges are null with one seed or too few images.
 * @param {PageTable} table
 */
function standingsUnder(table, weights) {
  const { counts } = table;
  const scores = counts.rows.map((_, row) => scoresBySeed(counts, row, weights));
  const ranked = counts.rows.map((_, row) => row).filter((row) => table.rows[counts.rows[row]].rank.value !== null);
  const means = scores.map((of) => Math.round(meanOf(of) * 1e12) / 1e12);
  const rounded = (row) => means[row];
  ranked.sort((a, b) => rounded(b) - rounded(a) || a - b);
  const untold = whyNotToldApart(table, weights);
  const above = untold ? null : toldApart(counts, ranked, weights, scores);
  const [better, worse] = [ranked, ranked].map(() => new Array(ranked.length).fill(0)); // how many are above and below a position
  const belowFirst = new Set();
  for (const [high, low] of above ?? []) {
    better[low] += 1;
    worse[high] += 1;
    if (high === 0) belowFirst.add(low);
  }
  const standings = new Map();
  const rowOf = (position) => table.rows[counts.rows[position]];
  ranked.forEach((row, position) => {
    const rank = position > 0 && rounded(ranked[position - 1]) === rounded(row) ? standings.get(rowOf(ranked[position - 1])).rank : position + 1;
    const lowest = above && 1 + better[position];
    const highest = above && ranked.length - worse[position];
    standings.set(rowOf(row), {
      rank,
      range: above && ranked.length > 1 ? [Math.min(rank, lowest), Math.max(rank, highest)] : null,
      level: above !== null && !belowFirst.has(position),
      scores: scores[row],
    });
  });
  counts.rows.forEach((_, row) => {
    if (!standings.has(rowOf(row))) standings.set(rowOf(row), { rank: null, range: null, level: false, scores: scores[row] });
  });
  const pairs = (ranked.length * (ranked.length - 1)) / 2;
  return { standings, scores, untold, separated: above === null ? null : above.length, pairs };
}

/**
 * Why rows cannot be told apart under a mix, "" where they can.
 * @param {PageTable} table
 */
function whyNotToldApart(table, weights) {
  const { counts } = table;
  if (table.report === "best_test") return TEST_SET_CHOSE;
  if (counts.seeds.length < 2) return "a range needs two seeds";
  const effective = effectiveImages(weights, counts);
  if (effective < FEWEST_EFFECTIVE_IMAGES) return `the test images tell as much of this mix as ${Math.round(effective)} images would`;
  return counts.pair_with === null ? "" : "the page has too many rows to carry what ranges of a mix need";
}

/**
 * The pairs of positions in `ranked` (best first) that are told apart, the better one first: those that Benjamini and
 * Hochberg's procedure rejects. It rejects the most pairs k of m that have p < 0.05 k / m; whether a p lies below a bound
 * is told by the interval of that level, so that no p is computed.
 * @param {ClassCounts} counts
 */
function toldApart(counts, ranked, weights, scores) {
  const pairs = [];
  ranked.forEach((a, i) => {
    for (let j = i + 1; j < ranked.length; j += 1) {
      const { mean, variance } = differenceOf(counts, a, ranked[j], weights, scores);
      pairs.push({ size: Math.abs(mean), variance, positions: mean >= 0 ? [i, j] : [j, i] });
    }
  });
  const isBelow = (bound) => ({ size, variance }) => size > halfWidth(variance, 1 - bound);
  let told = pairs.filter(isBelow(SEPARATED));
  for (let before = pairs.length; told.length < before; ) {
    before = told.length;
    told = told.filter(isBelow((SEPARATED * before) / pairs.length));
  }
  return told.map(({ positions }) => positions);
}

/**
 * The differences of each class that has test images between two rows, with Holm's p over the classes.
 * @param {ClassCounts} counts
 */
function classDifferences(counts, a, b) {
  const labels = counts.test_K.flatMap((images, label) => (images > 0 ? [label] : []));
  const differences = labels.map((label) =>
    differenceOf(counts, a, b, counts.test_K.map((_, other) => (other === label ? 1 : 0))),
  );
  const tested = differences.map((difference, index) => ({ p: difference.covers === "both" ? pOf(difference) : null, index }));
  const known = tested.filter(({ p }) => p !== null);
  const adjusted = holm(known.map(({ p }) => p));
  const qOf = new Map(known.map(({ index }, position) => [index, adjusted[position]]));
  return labels.map((label, index) => {
    const q = qOf.get(index);
    const told = q !== undefined && q < SEPARATED;
    return {
      label,
      mean: differences[index].mean,
      interval: intervalOf(differences[index]),
      verdict: !told ? "" : differences[index].mean > 0 ? "gains" : "pays",
    };
  });
}
