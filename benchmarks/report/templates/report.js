"use strict";
// The page is whole without this: it adds sorting, copying, searching and a choice of videos.

// A cell's leading number: "54.71 [51.62, 57.81]" -> 54.71; null where there is none.
function leadingNumber(text) {
  const found = text.trim().match(/^[+-]?\d+(\.\d+)?/);
  return found ? Number(found[0]) : null;
}

function makeSortable(table) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const order = { none: "descending", descending: "ascending", ascending: "none" };
      const next = order[header.getAttribute("aria-sort") || "none"];
      headers.forEach((each) => each.removeAttribute("aria-sort"));
      if (next !== "none") header.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      const key = (row) => row.cells[column].textContent;
      const compare = (a, b) => {
        const [x, y] = [leadingNumber(key(a)), leadingNumber(key(b))];
        if (x === null && y === null) return sign * key(a).localeCompare(key(b));
        if (x === null || y === null) return x === null ? 1 : -1; // without a number: last
        return sign * (x - y);
      };
      body.replaceChildren(...(next === "none" ? original : [...original].sort(compare)));
    });
  });
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No clipboard for pages from a disk in some browsers: the old way.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

document.querySelectorAll("table").forEach(makeSortable);

document.querySelectorAll("[data-copies]").forEach((tools) => {
  const texts = JSON.parse(tools.querySelector("script").textContent);
  for (const [name, text] of Object.entries(texts)) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `Copy as ${name}`;
    button.addEventListener("click", async () => {
      button.textContent = (await copy(text)) ? "Copied" : "Not copied: the browser refused";
      setTimeout(() => { button.textContent = `Copy as ${name}`; }, 2000);
    });
    tools.append(button);
  }
});

document.querySelectorAll("[data-search]").forEach((tools) => {
  const input = tools.querySelector("input");
  const rows = document.getElementById(tools.dataset.search).tBodies[0].rows;
  tools.hidden = false;
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
});

document.querySelectorAll(".watch").forEach((section) => {
  const scenes = [...section.querySelectorAll(".scene")];
  const select = section.querySelector("select");
  const button = section.querySelector("button");
  section.querySelector(".tools").hidden = false;
  const videos = () => [...scenes[select.selectedIndex].querySelectorAll("video")];
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const play = () => videos().forEach((video) => {
    video.currentTime = 0;
    video.play().catch(() => {}); // a linked file may have moved
  });
  const show = () => {
    scenes.forEach((scene, number) => { scene.hidden = number !== select.selectedIndex; });
    section.querySelectorAll("video").forEach((video) => video.pause());
    videos().forEach((video) => {
      video.preload = "auto";
      // At rest its middle, where more is to be seen than before an instrument has come in.
      video.addEventListener("loadedmetadata", () => {
        if (video.paused) video.currentTime = video.duration / 2;
      }, { once: true });
    });
  };
  select.addEventListener("change", () => {
    show();
    if (!still) play();
  });
  button.addEventListener("click", play);
  show();
});
