// A row by epoch: mean and range over trainings, beside the floor.

const CURVE = { width: 430, height: 190, left: 46, right: 10, top: 12, bottom: 24 };
const CURVE_NAMES = ["training loss", "validation loss", "test loss", "test accuracy"];
const LOSS = /loss$/;

/**
 * Fills `container` with the curves of a row, which are inflated when they are first asked for.
 * @param {PageTable} table
 * @param {PageRow} row
 */
async function drawCurves(container, table, row) {
  if (!table.curves) {
    container.replaceChildren(element("p", { class: "aside" }, `Not shown: ${table.curves_reason}.`));
    return;
  }
  const curves = await curvesOf(table.curves);
  const own = curves[row.id];
  if (!own) {
    container.replaceChildren(element("p", { class: "aside" }, "Not shown: no training of it is done, or none reported values by epoch."));
    return;
  }
  const floor = table.floor === null ? null : table.rows[table.floor];
  const beside = floor && floor !== row ? curves[floor.id] ?? null : null;
  const names = CURVE_NAMES.filter((name) => name in own.bands);
  container.parentElement?.classList.toggle("wide", names.length > 1);
  const over = own.trainings === 1 ? "One training" : `Mean of ${own.trainings} trainings, and the range between them`;
  const floorWords = beside ? `; dashed: ${floor.name} (floor)` : "";
  const left = own.left_out ? ` ${own.left_out} of another length are left out.` : "";
  container.replaceChildren(
    element("p", { class: "aside" }, `${over}${floorWords}. The dot is the last epoch, the ring the lowest loss or highest accuracy.${left}`),
    element("div", { class: "curves" }, names.map((name) => curveFigure(name, own, beside))),
    element("details", {}, element("summary", {}, "as a table"), curveTable(row.name, names, own, beside)),
  );
}

/** Places in a curve: of the last value and of the best one, -1 where there is none. */
function marksOfCurve(name, means) {
  let last = -1;
  let best = -1;
  means.forEach((mean, index) => {
    if (mean === null) return;
    last = index;
    const better = best < 0 || (LOSS.test(name) ? mean < means[best] : mean > means[best]);
    if (better) best = index;
  });
  return { last, best };
}

function curveFigure(name, own, beside) {
  const { width, height, left, right, top, bottom } = CURVE;
  const band = own.bands[name];
  const floorBand = beside?.bands[name] ?? null;
  const values = [band.low, band.high, floorBand?.mean ?? []].flat().filter((value) => value !== null);
  if (!values.length) return element("p", { class: "aside" }, `${name}: not finite in any epoch.`);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const span = most - least || Math.abs(most) || 1;
  const final = Math.max(own.epochs.at(-1), floorBand ? beside.epochs.at(-1) : 1);
  const x = (epoch) => left + (final === 1 ? 0.5 : (epoch - 1) / (final - 1)) * (width - left - right);
  const y = (value) => top + ((most - value) / span) * (height - top - bottom);
  const unit = LOSS.test(name) ? "" : "%";
  const { last, best } = marksOfCurve(name, band.mean);
  const said = last < 0 ? name : `${name}: last ${numberText(band.mean[last], unit)}, ${unit ? "highest" : "lowest"} ${numberText(band.mean[best], unit)} in epoch ${own.epochs[best]}`;
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": said });
  for (const value of [least, (least + most) / 2, most]) {
    svg.append(
      drawn("line", { class: "axis", x1: left, x2: width - right, y1: y(value), y2: y(value) }),
      drawn("text", { class: "label soft", x: left - 5, y: y(value) + 4, "text-anchor": "end" }, shortNumber(value, unit)),
    );
  }
  for (const epoch of new Set([1, Math.round((1 + final) / 2), final])) {
    svg.append(drawn("text", { class: "label soft", x: x(epoch), y: height - 6, "text-anchor": epoch === final ? "end" : "middle" }, String(epoch)));
  }
  svg.append(drawn("path", { class: "band", d: bandPath(own.epochs, band, x, y) }));
  if (floorBand) svg.append(drawn("path", { class: "line floor-line", d: linePath(beside.epochs, floorBand.mean, x, y) }));
  svg.append(drawn("path", { class: "line", d: linePath(own.epochs, band.mean, x, y) }));
  if (best >= 0) svg.append(drawn("circle", { class: "best", cx: x(own.epochs[best]), cy: y(band.mean[best]), r: 5 }));
  if (last >= 0) svg.append(drawn("circle", { class: "last", cx: x(own.epochs[last]), cy: y(band.mean[last]), r: 3 }));
  return element("figure", {}, element("figcaption", {}, said), svg);
}

function shortNumber(value, unit) {
  return unit === "%" ? (100 * value).toFixed(1) : Number(value.toPrecision(Math.abs(value) < 0.1 ? 2 : 3)).toString();
}

/** A line through the epochs that have a value. */
function linePath(epochs, values, x, y) {
  let pen = "M";
  return epochs.map((epoch, index) => {
    if (values[index] === null) {
      pen = "M";
      return "";
    }
    const step = `${pen}${x(epoch).toFixed(1)} ${y(values[index]).toFixed(1)}`;
    pen = "L";
    return step;
  }).join("");
}

function bandPath(epochs, band, x, y) {
  const known = epochs.map((_, index) => index).filter((index) => band.low[index] !== null);
  const at = (values) => (index) => `${x(epochs[index]).toFixed(1)} ${y(values[index]).toFixed(1)}`;
  return known.length < 2 ? "" : `M${[...known.map(at(band.high)), ...known.reverse().map(at(band.low))].join("L")}Z`;
}

function curveTable(rowName, names, own, beside) {
  const shown = (name, value) => (value === null || value === undefined ? DASH : LOSS.test(name) ? String(value) : numberText(value, "%"));
  const floorAt = new Map(beside ? beside.epochs.map((epoch, index) => [epoch, index]) : []);
  const besides = (name) => (beside?.bands[name] ? [`${name}, floor`] : []);
  const lines = own.epochs.map((epoch, index) => [
    String(epoch),
    ...names.flatMap((name) => {
      const { mean, low, high } = own.bands[name];
      const range = own.trainings > 1 && mean[index] !== null ? ` [${shown(name, low[index])}, ${shown(name, high[index])}]` : "";
      const floor = besides(name).map(() => shown(name, beside.bands[name].mean[floorAt.get(epoch)]));
      return [`${shown(name, mean[index])}${range}`, ...floor];
    }),
  ]);
  return plainTable(`${rowName} by epoch`, ["epoch", ...names.flatMap((name) => [name, ...besides(name)])], lines);
}
