// Distributions of Student and Gauss: upper tails, quantiles, and the p of a difference with two sources of variance.
// Pure functions; the same numbers as balancebench/leaderboard/intervals.py to a relative 1e-9.

const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

/** The natural logarithm of the gamma function of x > 0 (Lanczos 1964, g = 7, nine terms). */
function logGamma(x) {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const shifted = x - 1;
  let sum = LANCZOS[0];
  for (let term = 1; term < LANCZOS.length; term += 1) sum += LANCZOS[term] / (shifted + term);
  const height = shifted + 7.5;
  return 0.5 * Math.log(2 * Math.PI) + (shifted + 0.5) * Math.log(height) - height + Math.log(sum);
}

/** The continued fraction of the incomplete beta function (Lentz's method). */
function betaFraction(x, a, b) {
  const tiny = 1e-300;
  let c = 1;
  let d = 1 - ((a + b) * x) / (a + 1);
  d = 1 / (Math.abs(d) < tiny ? tiny : d);
  let value = d;
  for (let m = 1; m < 10000; m += 1) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 + even * d;
    d = 1 / (Math.abs(d) < tiny ? tiny : d);
    c = 1 + even / c;
    c = Math.abs(c) < tiny ? tiny : c;
    value *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 + odd * d;
    d = 1 / (Math.abs(d) < tiny ? tiny : d);
    c = 1 + odd / c;
    c = Math.abs(c) < tiny ? tiny : c;
    value *= d * c;
    if (Math.abs(d * c - 1) < 1e-16) break;
  }
  return value;
}

/** I_x(a, b), the regularised incomplete beta function; rest is 1 - x, given apart because it may be tiny. */
function incompleteBeta(x, rest, a, b) {
  if (x <= 0) return 0;
  if (rest <= 0) return 1;
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(rest));
  if (x < (a + 1) / (a + b + 2)) return (front * betaFraction(x, a, b)) / a;
  return 1 - (front * betaFraction(rest, b, a)) / b;
}

/** P(T > t) of Student's t with df > 0 degrees of freedom. */
function tTail(t, df) {
  if (t < 0) return 1 - tTail(-t, df);
  const total = df + t * t;
  return 0.5 * incompleteBeta(df / total, (t * t) / total, df / 2, 0.5);
}

/** P(Z > z) of the standard normal distribution, precise far into the tail. */
function normalTail(z) {
  if (z < 0) return 1 - normalTail(-z);
  const x = z / Math.SQRT2;
  if (x < 2) {
    let term = x;
    let sum = x;
    for (let n = 1; n < 100 && Math.abs(term) > 1e-18 * Math.abs(sum); n += 1) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return 0.5 - sum / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 120; n >= 1; n -= 1) fraction = n / 2 / (x + fraction);
  return Math.exp(-x * x) / (2 * Math.sqrt(Math.PI) * (x + fraction));
}

/** The z with P(Z > z) = tail, 0 < tail < 1: Newton's method on the logarithm of the tail, which is concave, from above. */
function normalQuantile(tail) {
  if (tail > 0.5) return -normalQuantile(1 - tail);
  if (tail === 0.5) return 0;
  const target = Math.log(tail);
  let z = Math.sqrt(-2 * Math.log(2 * tail)); // the tail is at most exp(-z^2 / 2) / 2
  for (let step = 0; step < 60; step += 1) {
    const here = normalTail(z);
    const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
    const change = ((Math.log(here) - target) * here) / density;
    z += change;
    if (Math.abs(change) <= 1e-15 * Math.max(1, Math.abs(z))) break;
  }
  return z;
}

/** The t with P(T > t) = tail, 0 < tail < 1: the same on the logarithm of t, where the logarithm of the tail is concave. */
function tQuantile(tail, df) {
  if (tail > 0.5) return -tQuantile(1 - tail, df);
  if (tail === 0.5) return 0;
  const target = Math.log(tail);
  const scale = logGamma((df + 1) / 2) - logGamma(df / 2) - 0.5 * Math.log(df * Math.PI);
  let logT = 0;
  for (let step = 0; step < 200; step += 1) {
    const t = Math.exp(logT);
    const here = tTail(t, df);
    const density = Math.exp(scale - ((df + 1) / 2) * Math.log1p((t * t) / df));
    const change = ((Math.log(here) - target) * here) / (density * t);
    logT += Math.min(change, 3);
    if (Math.abs(change) <= 1e-15 * Math.max(1, Math.abs(logT))) break;
  }
  return Math.exp(logT);
}

let quantiles = { tail: 0, df: 0, t: 0, z: 0 };

/** The t and z that leave this tail; those of the last call are kept, for all pairs of a table ask for the same. */
function quantilesOf(tail, df) {
  if (quantiles.tail !== tail || quantiles.df !== df) quantiles = { tail, df, t: tQuantile(tail, df), z: normalQuantile(tail) };
  return quantiles;
}

/**
 * Half of the width of an interval: sqrt(max(t^2 V, z^2 r) + z^2 v).
 * @param {{seeds: number, df: number, images: number, rest: number}} variance V, its degrees of freedom, v and r
 */
function halfWidth(variance, level = 0.95) {
  const tail = (1 - level) / 2;
  const { t, z } = quantilesOf(tail, variance.df);
  return Math.sqrt(Math.max(t * t * variance.seeds, z * z * variance.rest) + z * z * variance.images);
}

/** The two-sided p of a mean difference: the level at which its interval ends at 0. */
function pValue(mean, variance) {
  const size = Math.abs(mean);
  if (size === 0) return 1;
  const least = 2 * normalTail(size / Math.sqrt(variance.rest + variance.images));
  if (variance.seeds === 0) return Math.max(least, variance.images > 0 ? 2 * normalTail(size / Math.sqrt(variance.images)) : 0);
  if (variance.images === 0) return Math.max(least, 2 * tTail(size / Math.sqrt(variance.seeds), variance.df));
  const beyond = (t) => {
    const z = normalQuantile(tTail(t, variance.df));
    return t * t * variance.seeds + z * z * variance.images - size * size;
  };
  // z <= t bounds the t that is sought from both sides; Ridders' method finds it.
  let low = size / Math.sqrt(variance.seeds + variance.images);
  let high = size / Math.sqrt(variance.seeds);
  let atLow = beyond(low);
  let atHigh = beyond(high);
  let t = high;
  for (let step = 0; step < 60 && high - low > 1e-15 * high; step += 1) {
    const middle = (low + high) / 2;
    const atMiddle = beyond(middle);
    const root = Math.sqrt(atMiddle * atMiddle - atLow * atHigh);
    const before = t;
    t = root > 0 ? middle - ((middle - low) * atMiddle) / root : middle;
    const here = beyond(t);
    if (here === 0 || Math.abs(t - before) <= 1e-15 * t) break;
    if (atMiddle < 0 !== here < 0) {
      [low, atLow, high, atHigh] = middle < t ? [middle, atMiddle, t, here] : [t, here, middle, atMiddle];
    } else if (here < 0) {
      [low, atLow] = [t, here];
    } else {
      [high, atHigh] = [t, here];
    }
  }
  return Math.max(least, 2 * tTail(t, variance.df));
}

/** p adjusted by Benjamini and Hochberg, in the order given. */
function benjaminiHochberg(pValues) {
  const order = pValues.map((_, index) => index).sort((a, b) => pValues[a] - pValues[b]);
  const adjusted = new Array(pValues.length);
  let least = 1;
  for (let step = order.length; step >= 1; step -= 1) {
    least = Math.min(least, (pValues[order[step - 1]] * order.length) / step);
    adjusted[order[step - 1]] = least;
  }
  return adjusted;
}

/** p adjusted by Holm, in the order given. */
function holm(pValues) {
  const order = pValues.map((_, index) => index).sort((a, b) => pValues[a] - pValues[b]);
  const adjusted = new Array(pValues.length);
  let highest = 0;
  order.forEach((index, step) => {
    highest = Math.max(highest, Math.min(1, (order.length - step) * pValues[index]));
    adjusted[index] = highest;
  });
  return adjusted;
}
