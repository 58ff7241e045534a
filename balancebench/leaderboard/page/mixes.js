// Mixes of the test classes: "0" uniform to "100" the training images', "reversed", or "w" and own weights: "w2~1~0.5".

const MOST_CLASSES = 20; // that are shown one by one
/** @type {[string, number, number][]} */
const GROUPS = [["many", 101, Infinity], ["medium", 20, 100], ["few", 0, 19]]; // training images of a class
const PRESET_MIX = /^(reversed|100|[1-9]?[05])$/;
const OWN_MIX = /^w(\d{1,7}(\.\d{1,4})?~)*\d{1,7}(\.\d{1,4})?$/;

/**
 * What own weights are of: each class, or the groups of classes where there are many. labels: the classes of each.
 * @param {PageTable} table
 */
function weighedParts(table) {
  const { test_K: tested } = table.counts;
  const labels = tested.flatMap((images, label) => (images > 0 ? [label] : []));
  if (tested.length <= MOST_CLASSES) return labels.map((label) => ({ name: table.class_names[label] ?? String(label), labels: [label] }));
  return groupsOf(table).map(({ name, labels: members }) => ({ name: `${name} (${members.length} classes)`, labels: members }));
}

/**
 * The groups of classes by their training images, of those that have test images.
 * @param {PageTable} table
 */
function groupsOf(table) {
  const groups = GROUPS.map(([name, least, most]) => ({
    name,
    labels: table.counts.test_K.flatMap((images, label) => (images > 0 && table.train_K[label] >= least && table.train_K[label] <= most ? [label] : [])),
  }));
  return groups.filter(({ labels }) => labels.length);
}

/**
 * Whether a mix, perhaps of a link, is one for this table.
 * @param {PageTable} table
 */
function isMix(mix, table) {
  if (table.counts === null) return false;
  if (PRESET_MIX.test(mix)) return true;
  if (!OWN_MIX.test(mix)) return false;
  const weights = mix.slice(1).split("~").map(Number);
  return weights.length === weighedParts(table).length && weights.some((weight) => weight > 0);
}

/**
 * The classes' weights of a mix; the weight of a group is shared out evenly among its classes.
 * @param {PageTable} table
 */
function mixWeights(mix, table) {
  const total = table.train_K.reduce((sum, count) => sum + count, 0);
  const train = table.train_K.map((count) => count / total);
  if (mix === "reversed") {
    const order = train.map((_, label) => label).sort((a, b) => train[a] - train[b] || a - b);
    const reversed = new Array(train.length);
    order.forEach((label, position) => {
      reversed[label] = train[order[order.length - 1 - position]];
    });
    return normalised(reversed, table.counts);
  }
  if (mix.startsWith("w")) {
    const own = new Array(table.counts.test_K.length).fill(0);
    const weights = mix.slice(1).split("~").map(Number);
    weighedParts(table).forEach(({ labels }, index) => labels.forEach((label) => (own[label] = weights[index] / labels.length)));
    return normalised(own, table.counts);
  }
  const share = Number(mix) / 100;
  return normalised(train.map((part) => share * part + (1 - share) / train.length), table.counts);
}

/**
 * Own weights that are those of a mix, in per cent.
 * @param {PageTable} table
 */
function ownMix(mix, table) {
  const weights = mixWeights(mix || "0", table);
  const ofPart = ({ labels }) => 100 * labels.reduce((sum, label) => sum + weights[label], 0);
  return `w${weighedParts(table).map((of) => String(Number(ofPart(of).toFixed(2)))).join("~")}`;
}

/** What a mix is called in a sentence. */
function mixName(mix) {
  if (mix === "reversed") return "the training mix reversed";
  if (mix.startsWith("w")) return "a mix of your own";
  if (mix === "0") return "a uniform mix";
  return mix === "100" ? "the training mix" : `${mix} % of the way to the training mix`;
}

/**
 * Shows the fields of own weights where they are asked for, and what they hold.
 * @param {PageTable} table
 */
function drawWeights(container, table, mix) {
  container.hidden = !mix.startsWith("w");
  if (container.hidden) return;
  const parts = weighedParts(table);
  if (container.dataset.table !== table.id) {
    container.dataset.table = table.id;
    const field = () => element("input", { type: "number", min: 0, max: 9999999, step: "any" });
    container.replaceChildren(...parts.map(({ name }) => element("label", {}, element("span", { title: name }, name), field())));
  }
  const weights = mix.slice(1).split("~");
  [...container.querySelectorAll("input")].forEach((field, index) => {
    if (field !== document.activeElement && field.value !== weights[index]) field.value = weights[index];
  });
}

/** The mix that the fields of own weights ask for; one that is empty or no number counts as 0. */
function mixOfFields(container) {
  const weights = [...container.querySelectorAll("input")].map((field) => Math.min(9999999, Math.max(0, field.valueAsNumber || 0)));
  return `w${weights.map((weight) => String(Number(weight.toFixed(4)))).join("~")}`;
}
