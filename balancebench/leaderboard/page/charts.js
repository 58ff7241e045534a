// Pictures of numbers that also stand as text: intervals about the floor, and dumbbells of classes.

const CHART = { narrow: 210, wide: 280, height: 22, edge: 8 };

/**
 * Seeds as differences from the floor by a metric; as they are where there is no floor.
 * @param {PageTable} table
 * @param {PageRow} row
 */
function dotsOf(table, row, metric) {
  const values = row.metrics[metric].values;
  if (table.floor === null) return Object.values(values);
  const floor = table.rows[table.floor].metrics[metric].values;
  return Object.keys(values).flatMap((seeds) => (Object.hasOwn(floor, seeds) ? [values[seeds] - floor[seeds]] : []));
}

/** Low and high of the picture: all means and dots, and of intervals what lies within half a span of them. */
function rangeOf(marks) {
  const dots = marks.flatMap((mark) => mark.dots);
  if (!dots.length) return [0, 1];
  let low = Math.min(0, ...dots);
  let high = Math.max(0, ...dots);
  if (!marks.some((mark) => mark.aboutZero)) {
    low = Math.min(...dots);
    high = Math.max(...dots);
  }
  const span = high - low || Math.abs(high) || 1;
  const ends = marks.flatMap((mark) => [mark.thin, mark.thick].filter(Boolean).flat());
  const least = Math.max(low - span / 2, Math.min(low, ...ends));
  const most = Math.min(high + span / 2, Math.max(high, ...ends));
  return [least - span * 0.03, most + span * 0.03];
}

/**
 * Dots, mean and intervals of a row on the axis of all rows.
 * @param {{dots: number[], mean: number | null, thick: number[] | null, thin: number[] | null, aboutZero: boolean}} mark
 */
function intervalChart(mark, range, words, wide) {
  const { height, edge } = CHART;
  const width = wide ? CHART.wide : CHART.narrow;
  const x = (value) => Math.round(10 * (edge + ((value - range[0]) / (range[1] - range[0])) * (width - 2 * edge))) / 10;
  const clipped = (value) => Math.min(width - edge, Math.max(edge, x(value)));
  const middle = height / 2;
  const svg = drawn("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words });
  if (mark.aboutZero) svg.append(drawn("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: height }));
  for (const [bounds, kind] of [[mark.thin, "thin"], [mark.thick, "thick"]]) {
    if (!bounds) continue;
    svg.append(drawn("line", { class: kind, x1: clipped(bounds[0]), x2: clipped(bounds[1]), y1: middle, y2: middle }));
    if (bounds[0] < range[0]) svg.append(drawn("path", { class: "arrow", d: `M1 ${middle}l7 -4v8z` }));
    if (bounds[1] > range[1]) svg.append(drawn("path", { class: "arrow", d: `M${width - 1} ${middle}l-7 -4v8z` }));
  }
  // One path for all dots: each element of 200 pictures costs layout whenever the mix slides.
  const dots = mark.dots.map((dot) => `M${(x(dot) - 3).toFixed(1)} ${middle}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0`).join("");
  if (dots) svg.append(drawn("path", { class: "dot", d: dots }));
  if (mark.mean !== null) {
    svg.append(drawn("line", { class: "tickmark", x1: x(mark.mean), x2: x(mark.mean), y1: 3, y2: height - 3 }));
  }
  return svg;
}

/**
 * A dumbbell a class, from the ring of the second row to the dot of the first, up to 100 %.
 * @param {{name: string, train: string, from: number, to: number, verdict: string, interval: number[] | null}[]} classes
 */
function dumbbells(classes, words) {
  const step = 24;
  const narrow = window.matchMedia("(max-width: 639px)").matches;
  const [width, left, right, longest] = narrow ? [340, 130, 240, 10] : [560, 190, 440, 16];
  const height = step * classes.length + 22;
  const least = Math.max(0, Math.floor(10 * Math.min(...classes.map((of) => Math.min(of.from, of.to)) ) - 0.5) / 10);
  const x = (value) => left + ((Math.max(least, value) - least) / (1 - least)) * (right - left);
  const svg = drawn("svg", { class: "dumbbells", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words });
  for (const share of [least, (1 + least) / 2, 1]) {
    svg.append(drawn("line", { class: "axis", x1: x(share), x2: x(share), y1: 0, y2: height - 20 }));
    svg.append(drawn("text", { class: "label soft", x: x(share), y: height - 6, "text-anchor": "middle" }, `${Math.round(100 * share)} %`));
  }
  classes.forEach((of, index) => {
    const y = step * index + step / 2;
    const change = of.to - of.from;
    const kind = change > 0 ? "gain" : change < 0 ? "pay" : "even";
    const name = of.name.length > longest ? `${of.name.slice(0, longest - 1)}…` : of.name;
    svg.append(drawn("text", { class: "label", x: left - 10, y: y + 4, "text-anchor": "end" }, `${name} (${of.train})`));
    if (of.interval) {
      const [low, high] = of.interval.map((bound) => Math.min(1, Math.max(0, of.from + bound)));
      svg.append(drawn("line", { class: "thin", x1: x(low), x2: x(high), y1: y + 7, y2: y + 7 }));
    }
    svg.append(drawn("line", { class: kind, "stroke-width": 3, x1: x(of.from), x2: x(of.to), y1: y, y2: y }));
    svg.append(drawn("circle", { class: "ring", cx: x(of.from), cy: y, r: 4.5 }));
    svg.append(drawn("circle", { class: kind, cx: x(of.to), cy: y, r: 4 }));
    const text = `${numberText(change, "%", true)}${of.verdict ? ` ${of.verdict}` : ""}`;
    svg.append(drawn("text", { class: `label ${of.verdict ? kind : "soft"}`, x: right + 10, y: y + 4 }, text));
  });
  return svg;
}
