// Photos, filters and the scene graph. The parts of the page pass a chosen photo on by an event.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const choose = (photo, from) => document.dispatchEvent(new CustomEvent("photo", { detail: { photo, from } }));

(() => {
  const cards = [...document.querySelectorAll(".card")];
  const search = document.getElementById("search");
  const filters = document.getElementById("filters");
  let group = "";

  function filter() {
    const words = search.value.toLowerCase();
    for (const card of cards) {
      const name = data.names[card.dataset.photo].toLowerCase();
      card.classList.toggle("away", (group && card.dataset.group !== group) || !name.includes(words));
    }
  }
  search.addEventListener("input", filter);
  filters.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    group = button.dataset.group;
    for (const other of filters.children) other.classList.toggle("on", other === button);
    filter();
  });
  for (const card of cards) {
    card.addEventListener("click", () => choose(Number(card.dataset.photo), "cards"));
  }
  document.addEventListener("photo", ({ detail }) => {
    for (const card of cards) card.classList.toggle("chosen", Number(card.dataset.photo) === detail.photo);
    const chosen = document.getElementById("photo-" + detail.photo);
    if (detail.from === "graph" && chosen) chosen.scrollIntoView({ block: "center" });
    if (detail.from === "cards" && chosen.dataset.group.startsWith("model")) {
      document.getElementById("view").scrollIntoView();
    }
  });
})();

(() => {
  const graph = document.querySelector(".graph");
  const caption = document.getElementById("graph-caption");
  const circles = new Map([...graph.querySelectorAll("circle")].map((c) => [Number(c.dataset.photo), c]));
  const linksOf = new Map();
  for (const link of data.links) {
    for (const photo of link.slice(0, 2)) {
      if (!linksOf.has(photo)) linksOf.set(photo, []);
      linksOf.get(photo).push(link);
    }
  }

  const place = (photo) => circles.get(photo).getAttribute("cx") + " " + circles.get(photo).getAttribute("cy");
  const path = (links) => links.map(([a, b]) => "M" + place(a) + "L" + place(b)).join("");

  function focus(photo) {
    const links = photo === null ? [] : linksOf.get(photo) || [];
    const fits = links.filter((link) => link[2] > 0);
    graph.classList.toggle("focused", photo !== null);
    document.getElementById("focus-fits").setAttribute("d", path(fits));
    document.getElementById("focus-refused").setAttribute("d", path(links.filter((link) => link[2] === 0)));
    const most = fits.reduce((best, link) => (link[2] > best[2] ? link : best), [0, 0, 0]);
    const partner = data.names[most[0] === photo ? most[1] : most[0]];
    caption.textContent = photo === null ? "\u00a0"
      : data.names[photo] + ": " + links.length + " pairs matched, " + fits.length + " fit"
        + (fits.length ? "; most inliers (" + most[2] + ") with " + partner : "");
  }
  for (const [photo, circle] of circles) {
    circle.addEventListener("pointerenter", () => focus(photo));
    circle.addEventListener("pointerleave", () => focus(null));
    circle.addEventListener("click", () => choose(photo, "graph"));
  }
  for (const box of document.querySelectorAll(".legend input")) {
    box.addEventListener("change", () => {
      document.getElementById(box.dataset.layer).classList.toggle("away", !box.checked);
    });
  }
  document.addEventListener("photo", ({ detail }) => {
    for (const [photo, circle] of circles) circle.classList.toggle("chosen", photo === detail.photo);
  });
})();
