"use strict";
// The page: choose a picture, see its faces replaced, buy a print. Text from outside is text: none is written as HTML.

const EMOJIS = ["😎", "🥳", "🤩", "😂", "🤖", "😇", "🦄", "🐸", "🤠", "👻", "😺", "🐼", "🦊", "🐵", "👽", "🎃"];
const CENTS = 1200;
const LONGEST = 1280; // pixels of a side that an upload is scaled down to
const at = (id) => document.getElementById(id);

let chosen = null; // {name, blob, boxes, width, height}
let order = null; // kept until it is paid, so that asking again is no second purchase
let shift = 0;
let turn = 0; // of choosing: an answer for a picture that was left meanwhile is not shown

// What nginx says in place of the api, in words for a buyer.
const FACES = {
  413: "The picture is too large",
  502: "Faces cannot be looked for just now: this part of the shop is not reached",
};
const ORDER = {
  502: "The till is not reached just now. You have no receipt; please try again: the same order is charged once",
};

class Trouble extends Error {
  constructor(words, code) {
    super(words);
    this.code = code;
  }
}

async function ask(path, words, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Trouble("The shop cannot be reached. Is the connection there?", "offline");
  }
  const kind = response.headers.get("Content-Type") || "";
  if (response.ok) return kind.startsWith("application/json") ? response.json() : response.blob();
  if (kind.startsWith("application/json")) {
    const said = await response.json();
    throw new Trouble(said.error, said.code);
  }
  throw new Trouble(`${words[response.status] || words[502]} (nginx says ${response.status}).`, "ingress");
}

function tell(id, words) {
  at(id).textContent = words || "";
  at(id).hidden = !words;
}

function light(part, good) {
  const box = at("way-" + part);
  box.classList.toggle("good", good === true);
  box.classList.toggle("bad", good === false);
}

function noOrder() {
  order = null;
  at("order").textContent = "–";
  at("buy").textContent = "Buy this print";
}

function newOrder() {
  const bytes = crypto.getRandomValues(new Uint8Array(5));
  order = "web-" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  at("order").textContent = order;
}

// ---- the picture

function show(blob) {
  const photo = at("photo");
  URL.revokeObjectURL(photo.src);
  return new Promise((done, failed) => {
    photo.onload = done;
    photo.onerror = () => failed(new Trouble("This file is no picture that a browser can show.", "no_picture"));
    photo.src = URL.createObjectURL(blob);
    photo.hidden = false;
  });
}

function noPhoto() {
  at("photo").hidden = true;
  at("frame").classList.add("empty");
}

function drawFaces() {
  const faces = at("faces");
  faces.replaceChildren();
  chosen.boxes.forEach((box, number) => {
    const face = document.createElement("span");
    const emoji = EMOJIS[(number + shift) % EMOJIS.length];
    face.className = "face";
    face.textContent = emoji;
    face.setAttribute("role", "img");
    face.setAttribute("aria-label", `face ${number + 1} as ${emoji}`);
    face.style.left = (100 * (box.x + box.w / 2)) / chosen.width + "%";
    face.style.top = (100 * (box.y + box.h / 2)) / chosen.height + "%";
    face.style.fontSize = (118 * box.w) / chosen.width + "cqw"; // a little more than the face
    face.style.animationDelay = 90 * number + "ms";
    faces.append(face);
  });
  peek(false);
}

function peek(on) {
  at("peek").setAttribute("aria-pressed", String(on));
  document.querySelectorAll(".face").forEach((face) => face.classList.toggle("away", on));
}

function words(count) {
  if (count === 0) return "No face found. It makes a fine print as it is.";
  return count === 1 ? "1 face found and replaced" : `${count} faces found and replaced`;
}

async function choose(name, blobOf, title) {
  const mine = ++turn;
  chosen = null;
  document.body.removeAttribute("data-faces");
  for (const id of ["buy", "hold", "shuffle", "peek"]) at(id).disabled = true;
  for (const id of ["picture-error", "order-error", "waiting"]) tell(id);
  at("receipt").hidden = true;
  noOrder();
  at("faces").replaceChildren();
  at("found").textContent = "Looking for faces …";
  try {
    const blob = await blobOf();
    if (mine !== turn) return;
    await show(blob);
    at("photo").alt = title;
    const shape = at("photo").naturalWidth / at("photo").naturalHeight;
    at("picture").style.setProperty("--wide", `min(100%, calc(62vh * ${shape}))`);
    at("frame").classList.remove("empty");
    const headers = { "Content-Type": blob.type };
    const said = await ask("/api/emojify", FACES, { method: "POST", body: blob, headers });
    if (mine !== turn) return;
    chosen = { name, ...said };
    drawFaces();
    at("found").textContent = words(said.faces);
    document.body.dataset.faces = said.faces;
    for (const id of ["buy", "hold"]) at(id).disabled = false;
    for (const id of ["shuffle", "peek"]) at(id).disabled = said.faces === 0;
    light("ingress", true);
    light("api", true);
    light("facebox", true);
    newOrder();
  } catch (trouble) {
    if (mine !== turn) return;
    at("found").textContent = "";
    tell("picture-error", trouble.message);
    if (trouble.code === "ingress") light("api", false);
    else if (trouble.code === "no_picture") noPhoto();
    else light("facebox", false);
  }
}

function press(button) {
  for (const one of document.querySelectorAll("#gallery button")) {
    one.setAttribute("aria-pressed", String(one === button));
  }
}

async function fillGallery() {
  try {
    const { pictures } = await ask("/pictures", FACES);
    light("website", true);
    for (const one of pictures) {
      const button = document.createElement("button");
      const image = document.createElement("img");
      button.type = "button";
      button.id = "picture-" + one.id;
      button.title = `${one.title}, of ${one.source}`;
      button.setAttribute("aria-pressed", "false");
      image.src = "/pictures/" + one.id;
      image.alt = one.title;
      button.append(image);
      button.addEventListener("click", () => {
        press(button);
        choose(one.title, () => ask("/pictures/" + one.id, FACES), one.title);
      });
      const item = document.createElement("li");
      item.append(button);
      at("gallery").append(item);
    }
  } catch (trouble) {
    tell("picture-error", trouble.message);
    light("website", false);
  }
}

async function scaled(file) {
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    throw new Trouble("This file is no picture that a browser can show.", "no_picture");
  }
  const scale = Math.min(1, LONGEST / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(picture.width * scale);
  canvas.height = Math.round(picture.height * scale);
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.88));
}

// ---- the purchase

// While a purchase is under way no other picture can be chosen: what comes back is of the one that is shown.
function paying(on) {
  for (const id of ["buy", "hold", "upload"]) at(id).disabled = on;
  document.querySelectorAll("#gallery button").forEach((one) => (one.disabled = on));
}

async function purchase(path, more, wait) {
  paying(true);
  if (order === null) newOrder();
  tell("order-error");
  tell("waiting", wait);
  at("receipt").hidden = true;
  delete document.body.dataset.receipt;
  try {
    const paid = await ask(path, ORDER, {
      method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ order, picture: chosen.name, cents: CENTS, ...more }),
    });
    light("payment", true);
    light("api", true);
    at("receipt-number").textContent = paid.receipt;
    at("receipt-lines").textContent = "";
    at("receipt").hidden = false;
    document.body.dataset.receipt = paid.receipt;
    showLines(paid.receipt);
    order = null; // what is bought next is another order
    at("buy").textContent = "Buy another";
  } catch (trouble) {
    tell("order-error", trouble.message);
    light(trouble.code === "ingress" ? "api" : "payment", false);
    at("buy").textContent = "Try again";
  } finally {
    tell("waiting");
    paying(false);
  }
}

async function showLines(number) {
  try {
    const said = await ask("/api/receipt?number=" + encodeURIComponent(number), ORDER);
    at("receipt-lines").textContent = said.lines.slice(1).join("\n");
  } catch {
    // The number is what counts; the lines are a courtesy of another service.
  }
}

at("buy").addEventListener("click", () => purchase("/api/buy", {}, "Paying …"));
at("hold").addEventListener("click", () =>
  purchase("/api/hold", { seconds: 20 }, "The connection to payment is open. The terminal waits for your code …"),
);
at("shuffle").addEventListener("click", () => {
  shift += 1 + Math.floor(Math.random() * (EMOJIS.length - 1));
  drawFaces();
});
at("peek").addEventListener("click", () => peek(at("peek").getAttribute("aria-pressed") !== "true"));
at("upload").addEventListener("change", () => {
  const file = at("upload").files[0];
  if (!file) return;
  press(null);
  choose(file.name.slice(0, 60), () => scaled(file), "Your picture");
  at("upload").value = "";
});
fillGallery();
