// Inflates the page's program and runs it: the policy in the head knows the hash of this script and of that program.

/** The bytes of a block: 85 signs count from 0, five of them make four bytes, the highest first; the rest is cut off. */
function bytesOf(id) {
  const signs = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%:()*+-;.=,?@^_`{|}~";
  const values = new Uint8Array(128);
  for (let value = 0; value < 85; value += 1) values[signs.charCodeAt(value)] = value;
  const text = document.getElementById(id).textContent;
  const bytes = new DataView(new ArrayBuffer(4 * Math.ceil(text.length / 5)));
  for (let at = 0; at < text.length; at += 5) {
    let word = 0;
    for (let index = at; index < at + 5; index += 1) word = 85 * word + (index < text.length ? values[text.charCodeAt(index)] : 84);
    bytes.setUint32(0.8 * at, word);
  }
  return new Uint8Array(bytes.buffer, 0, Math.floor(0.8 * text.length));
}

/** What a block holds. */
async function inflated(id) {
  const stream = new Blob([bytesOf(id)]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function load() {
  if (!("DecompressionStream" in window)) {
    const trouble = document.getElementById("trouble");
    trouble.textContent = "This browser is too old for the interactive table (it lacks DecompressionStream): the plain one stands below.";
    trouble.hidden = false;
    return;
  }
  const script = document.createElement("script");
  script.textContent = new TextDecoder().decode(await inflated("program"));
  document.head.append(script);
}

load();
