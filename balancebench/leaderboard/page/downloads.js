// What is shown, as files. CSV has the lines of leaderboard.csv, of the rows shown.

/** @param {PageTable} table */
function csvText(table, rows) {
  const positions = new Map(table.rows.map((row, position) => [row, position]));
  const texts = (row, metric) => table.csv.map((column) => csvField(table, column, row, positions.get(row), metric));
  const lines = [table.csv.map((column) => column.name), ...rows.flatMap((row) => table.metrics.map((_, metric) => texts(row, metric)))];
  return lines.map((fields) => `${fields.map((text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)).join(",")}\n`).join("");
}

/**
 * The text of a column in the line of a row and a metric; balancebench/leaderboard/page/csv_columns.py says which it holds.
 * @param {PageTable} table
 */
function csvField(table, column, row, position, metric) {
  if (column.all !== null) return column.all;
  if (column.rows !== null) return column.rows[position];
  if (column.metrics !== null) return column.metrics[metric];
  if (column.lines !== null) return column.lines[position * table.metrics.length + metric];
  const { score, difference, gap, full_interval: full, seeds_interval: seeds } = row.metrics[metric];
  const [low, high] = full ?? seeds ?? [null, null];
  const values = { mean: score.value, difference_mean: difference.value, difference_low: low, difference_high: high, gap_closed: gap.value };
  const costs = ["duration_seconds", "images_seen", "optimiser_steps", "peak_memory_bytes"];
  const value = costs.includes(column.field) ? row.costs[costs.indexOf(column.field)]?.value : values[column.field];
  return value === null || value === undefined ? "" : String(value);
}

/** @param {PageTable} table */
function jsonText(suite, table, rows, mix) {
  const view = { suite: suite.name, task: table.task, report: table.report, metrics: table.metrics, rows };
  if (mix) {
    view.mix = {
      weights: Object.fromEntries(table.class_names.map((name, label) => [name, mix.weights[label]])),
      scores: rows.flatMap((row) => {
        const standing = mix.standings.get(row);
        return standing ? [{ id: row.id, name: row.name, rank: standing.rank, range: standing.range, scores: standing.scores }] : [];
      }),
    };
  }
  return `${JSON.stringify(view, null, 1)}\n`;
}

function bibtexText(rows) {
  const cited = rows.filter((row) => row.citation);
  const plain = (text) => text.replace(/[\\{}%#$&_~^]/g, (sign) => ({ "\\": "\\textbackslash ", "~": "\\textasciitilde ", "^": "\\textasciicircum " })[sign] ?? `\\${sign}`).replace(/\s+/g, " ");
  const entries = [...new Map(cited.map((row) => [row.citation, row])).values()].map((row) => {
    const key = row.name.replace(/[^A-Za-z0-9]+/g, "_").replace(/^_+|_+$/g, "");
    return `@misc{${key}_${row.id.slice(0, 4)},\n  title = {{${plain(row.name)}}},\n  note = {${plain(row.citation)}}\n}\n`;
  });
  return entries.join("\n") || "% no row shown has a citation\n";
}

function save(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = element("a", { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
