// The embedded blocks: inflated and parsed when they are first looked at, and kept.

const tables = new Map();

/**
 * A table with its counts.
 * @returns {Promise<PageTable>}
 */
async function tableOf(id) {
  if (!tables.has(id)) {
    const [data, counts] = await Promise.all([inflated(`data-${id}`), part(`counts-${id}`) ? inflated(`counts-${id}`) : null]);
    const table = JSON.parse(new TextDecoder().decode(data));
    if (table.counts) Object.assign(table.counts, countsOf(table.counts, counts));
    tables.set(id, table);
  }
  return tables.get(id);
}

const curves = new Map();

/**
 * The curves of a task, by the ids of its rows.
 * @returns {Promise<Record<string, RowCurves>>}
 */
async function curvesOf(id) {
  if (!curves.has(id)) curves.set(id, JSON.parse(new TextDecoder().decode(await inflated(`curves-${id}`))));
  return curves.get(id);
}

let pictures = null;

/** The PNG pictures that the page carries, in base 64 by their files. */
async function picturesOf() {
  pictures ??= JSON.parse(new TextDecoder().decode(await inflated("pictures")));
  return pictures;
}

/**
 * The arrays of counts, of bytes that balancebench/leaderboard/page/whole_numbers.py wrote.
 * @param {ClassCounts} counts
 */
function countsOf(counts, bytes) {
  const [rows, seeds, classes] = [counts.rows.length, counts.seeds.length, counts.test_K.length];
  let at = 0;
  const next = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at];
      at += 1;
      value += (byte & 127) * scale;
      if (byte < 128) return value % 2 ? -(value + 1) / 2 : value / 2;
    }
  };
  const rowsOf = (length, width) => {
    const before = new Array(width).fill(0);
    return Array.from({ length }, () => before.map((value, index) => (before[index] = value + next())));
  };
  const pairsOf = () => {
    if (counts.pair_with !== null) return rowsOf(rows - 1, classes);
    const values = [];
    const pairIndex = (first, second) => (first * (2 * rows - first - 1)) / 2 + second - first - 1;
    for (let first = 0; first < rows; first += 1) {
      for (let second = first + 1; second < rows; second += 1) {
        const above = first > 0 ? values[pairIndex(first - 1, second)] : null;
        const left = second > first + 1 ? values[pairIndex(first, second - 1)] : null;
        const corner = above && left ? values[pairIndex(first - 1, second - 1)] : null;
        values.push(Array.from({ length: classes }, (_, label) => (above?.[label] ?? 0) + (left?.[label] ?? 0) - (corner?.[label] ?? 0) + next()));
      }
    }
    return values;
  };
  const divided = (values, width) => Array.from({ length: values.length / width }, (_, index) => values.slice(index * width, (index + 1) * width));
  const right_RSK = rowsOf(rows, seeds * classes).map((values) => divided(values, classes));
  const confusion_RKK = counts.commonest_RK ? null : rowsOf(rows, classes * classes).map((values) => divided(values, classes));
  const squares_PK = pairsOf();
  const halves_PK = pairsOf();
  const sums_PK = squares_PK.map((squares, pair) => squares.map((square, label) => square + 2 * halves_PK[pair][label]));
  return { right_RSK, confusion_RKK, squares_PK, sums_PK };
}
