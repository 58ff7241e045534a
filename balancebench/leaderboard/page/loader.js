// Inflates the page's program and runs it: the policy in the head knows the hash of this script and of that program.

async function load() {
  if (!("DecompressionStream" in window)) {
    const trouble = document.getElementById("trouble");
    trouble.textContent = "This browser is too old for the interactive table (it lacks DecompressionStream): the plain one stands below.";
    trouble.hidden = false;
    return;
  }
  const bytes = Uint8Array.from(atob(document.getElementById("program").textContent), (sign) => sign.charCodeAt(0));
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const script = document.createElement("script");
  script.textContent = await new Response(inflated).text();
  document.head.append(script);
}

load();
