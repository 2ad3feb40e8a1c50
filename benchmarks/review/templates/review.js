"use strict";
const kit = JSON.parse(document.getElementById("kit").textContent);
const byId = (id) => document.getElementById(id);
let rater = "";
let answers = { scores: {}, seconds: {} };
let place = 0;
let shownAt = 0;

const storeName = () => `review ${kit.kit} ${rater}`;
const scoresOf = (item) => answers.scores[item.id] || {};
const complete = (item) => kit.criteria.every((c) => c.id in scoresOf(item));

function save() {
  localStorage.setItem(storeName(), JSON.stringify({ ...answers, place }));
}

// Each reviewer sees an order of their own, the same one after a reload (mulberry32 on the name).
function shuffled(items, name) {
  let state = [...`${kit.kit} ${name}`].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) >>> 0, 7);
  const random = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const order = [...items];
  for (let i = order.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

let order = [];

function buildForm() {
  const form = byId("scores");
  kit.criteria.forEach((criterion) => {
    const field = document.createElement("fieldset");
    const legend = document.createElement("legend");
    legend.textContent = criterion.name;
    const question = document.createElement("p");
    question.textContent = criterion.question;
    field.append(legend, question);
    kit.levels.forEach((level, value) => {
      const label = document.createElement("label");
      const radio = document.createElement("input");
      radio.type = "radio";
      radio.name = criterion.id;
      radio.value = String(value);
      radio.addEventListener("change", () => {
        const item = order[place];
        answers.scores[item.id] = { ...scoresOf(item), [criterion.id]: value };
        save();
        tell();
      });
      label.append(radio, ` ${value} ${level}`);
      field.append(label);
    });
    form.append(field);
  });
}

function tell() {
  const done = order.filter(complete).length;
  byId("progress").textContent = `Clip ${place + 1} of ${order.length}; ${done} scored`;
  byId("done").max = order.length;
  byId("done").value = done;
  byId("hint").textContent = done === order.length
    ? "All clips are scored: export the file and send it back."
    : "An export before the end can be gone on with later; the file says what is missing.";
}

function countTime() {
  if (!order.length || !shownAt) return;
  const item = order[place];
  const spent = Math.min(600, (Date.now() - shownAt) / 1000);
  answers.seconds[item.id] = Math.round(((answers.seconds[item.id] || 0) + spent) * 10) / 10;
}

function show(next) {
  countTime();
  place = Math.max(0, Math.min(order.length - 1, next));
  shownAt = Date.now();
  const item = order[place];
  const video = byId("video");
  video.src = `${kit.clips}/${item.id}.mp4`;
  video.play().catch(() => {});
  byId("asked").textContent = item.asked;
  const scores = scoresOf(item);
  byId("scores").querySelectorAll("input").forEach((radio) => {
    radio.checked = String(scores[radio.name]) === radio.value;
  });
  byId("back").disabled = place === 0;
  byId("next").disabled = place === order.length - 1;
  save();
  tell();
}

byId("start").addEventListener("submit", (event) => {
  event.preventDefault();
  rater = byId("rater").value.trim();
  if (!rater) return;
  const stored = JSON.parse(localStorage.getItem(storeName()) || "null");
  if (stored) ({ scores: answers.scores, seconds: answers.seconds, place } = stored);
  order = shuffled(kit.items, rater);
  byId("start").hidden = true;
  byId("review").hidden = false;
  localStorage.setItem(`review ${kit.kit}`, rater);
  show(place);
});
byId("back").addEventListener("click", () => show(place - 1));
byId("next").addEventListener("click", () => show(place + 1));
byId("open").addEventListener("click", () => {
  const first = order.findIndex((item) => !complete(item));
  if (first >= 0) show(first);
});
byId("export").addEventListener("click", () => {
  countTime();
  shownAt = Date.now();
  save();
  const content = JSON.stringify({ kit: kit.kit, rater, ...answers }, null, 2);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type: "application/json" }));
  link.download = `review-${kit.kit}-${rater.replace(/[^\w.-]+/g, "_")}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
});
buildForm();
byId("rater").value = localStorage.getItem(`review ${kit.kit}`) || "";
