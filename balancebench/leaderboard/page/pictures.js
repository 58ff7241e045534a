// Samples of made images and heat-maps: inflated when one is opened.

/**
 * The pictures of a row and of all rows of its table, folded; null where there are none.
 * @param {PageTable} table
 * @param {PageRow} row
 */
function picturesPart(table, row) {
  const own = table.pictures.filter((picture) => !picture.balancer || picture.balancer === row.name);
  return own.length ? element("div", { class: "pictures" }, element("h3", {}, "Pictures"), own.map(foldedPicture)) : null;
}

function foldedPicture(picture) {
  if (!picture.embedded) return element("p", { class: "aside" }, `${picture.title}: beside this page as ${picture.file}, too large to be carried along.`);
  const figure = element("figure");
  const folded = element("details", {}, element("summary", {}, picture.title), figure);
  folded.addEventListener("toggle", async () => {
    if (!folded.open || figure.firstChild) return;
    const files = await picturesOf();
    const image = element("img", { src: `data:image/png;base64,${files[picture.file]}`, alt: picture.alt });
    figure.replaceChildren(image, element("figcaption", {}, picture.caption));
  });
  return folded;
}
