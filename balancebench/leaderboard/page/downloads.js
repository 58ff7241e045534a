// What is shown, as files. CSV has the lines of leaderboard.csv, of the rows shown.

function csvText(table, rows) {
  return table.csv_head + rows.map((row) => row.csv).join("");
}

function jsonText(suite, table, rows, mix) {
  const plain = rows.map(({ csv: _csv, ...row }) => row);
  const view = { suite: suite.name, task: table.task, report: table.report, metrics: table.metrics, rows: plain };
  if (mix) {
    view.mix = {
      weights: Object.fromEntries(table.class_names.map((name, label) => [name, mix.weights[label]])),
      scores: rows.flatMap((row) => {
        const standing = mix.standings.get(table.rows.indexOf(row));
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
