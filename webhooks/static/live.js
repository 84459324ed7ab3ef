// Follows what a page shows: asks for its status with an ETag, draws it anew when it changed, counts the time down.
const box = document.getElementById("followed");
const said = document.getElementById("said"); // outside of what is drawn anew: a live region speaks only if it stays
const PATIENCE = 5000; // milliseconds without an answer, until the page says so
const GIVE_UP = 10000; // milliseconds, after which an answer is not waited for any more
let title = document.title;
let spoken = toSpeak();
let etag = null;
let heardAt = Date.now();
let turn = 0;
let next;

async function look() {
  const mine = ++turn; // another look may have been under way: its answer is old
  clearTimeout(next);
  try {
    const answer = await get(box.dataset.status, etag ? { "If-None-Match": etag } : {});
    // Signed out elsewhere, or signed in as somebody else: the reload shows the page for that.
    if (answer.status === 401 || answer.status === 404) return location.reload();
    if (answer.status === 200) {
      const status = await answer.json();
      if (mine !== turn) return;
      etag = answer.headers.get("ETag");
      if (status.version !== box.dataset.version) {
        etag = null; // what is drawn may be newer still
        const fresh = await read(box.dataset.page);
        if (mine !== turn) return;
        if (!fresh) return location.reload();
        draw(fresh);
      }
    }
    if (mine !== turn) return;
    hear(answer.ok || answer.status === 304);
  } catch {
    // The server is restarting or the lid was closed: the next look finds out.
    if (mine !== turn) return;
    hear(false);
  }
  if (box.dataset.open) next = setTimeout(look, document.hidden ? 10000 : 1000);
}

function get(address, headers = {}) {
  return fetch(address, { headers, signal: AbortSignal.timeout(GIVE_UP) });
}

// The page as it is now, or the one that it goes on to; null where only a reload can tell. Throws when it is away.
async function read(address) {
  const answer = await get(address);
  if (answer.status === 429 || answer.status > 500) throw new Error(answer.status);
  if (answer.status !== 200 || answer.redirected) return null;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("followed");
  if (!fresh || around(page) !== around(document)) return null;
  return fresh.dataset.next ? read(fresh.dataset.next) : fresh;
}

// What is not drawn anew: who is signed in, whether the page tells them something about that, and, named by their
// content, the files that it was made for: after a deploy the old script must not go on with a new page. Add-ons put
// files of theirs into a page; ours are those of this host.
function around(page) {
  const files = [...page.querySelectorAll("link[rel=stylesheet], script[src]")];
  const named = files.map((it) => it.getAttribute("href") ?? it.getAttribute("src")).filter((it) => /^\/[^/]/.test(it));
  return [page.querySelector(".who a")?.title, page.querySelectorAll("body > aside").length, ...named].join(" ");
}

function draw(fresh) {
  const focused = box.contains(document.activeElement) ? document.activeElement : null;
  keep(fresh);
  title = fresh.ownerDocument.title;
  const moved = fresh.dataset.page !== box.dataset.page;
  for (const name of Object.keys(box.dataset)) delete box.dataset[name];
  Object.assign(box.dataset, fresh.dataset);
  box.replaceChildren(...fresh.childNodes);
  if (moved) history.replaceState(null, "", box.dataset.page.split("?")[0]);
  document.dispatchEvent(new Event("drawn"));
  if (focused) refocus(focused);
  else if (document.activeElement === document.body) box.querySelector("[autofocus]")?.focus();
  document.title = title;
  count();
  const words = toSpeak();
  const news = [...words].filter(([thing]) => !spoken.has(thing)).map(([, sentence]) => sentence);
  if (news.length && said) said.textContent = news.join(" ");
  spoken = words;
}

// What was typed and unfolded stays so.
function keep(fresh) {
  for (const field of box.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    const heir = like(field, fresh);
    if (heir && field.value !== field.defaultValue) heir.value = field.value;
  }
  for (const old of box.querySelectorAll("summary")) {
    const heir = like(old, fresh);
    if (heir) heir.parentElement.open = old.parentElement.open;
  }
}

function refocus(old) {
  const heir = like(old, box) ?? box.querySelector("h1");
  if (heir.localName === "h1") heir.tabIndex = -1;
  heir.focus({ preventScroll: true });
  if (typeof old.selectionStart === "number") heir.setSelectionRange(old.selectionStart, old.selectionEnd);
}

// The element that does the same: with the same words, or the only one of the same form and name, or with the same link.
function like(old, among) {
  const marks = (it) => [it.getAttribute("href"), it.form?.getAttribute("action"), it.getAttribute("name")].join(" ");
  const alike = [...among.querySelectorAll(old.localName)].filter((it) => marks(it) === marks(old));
  const same = alike.find((it) => it.textContent === old.textContent);
  return same ?? ((old.form || old.href) && alike.length === 1 ? alike[0] : null);
}

// A sentence for each thing that is told; who was told it before is not told again, however its times are written.
function toSpeak() {
  const text = (it) => it.textContent.trim().replace(/\s+/g, " ");
  const thing = (it) => {
    const bare = it.cloneNode(true);
    for (const time of bare.querySelectorAll("time")) time.textContent = time.dateTime;
    return text(bare);
  };
  const told = [...box.querySelectorAll("[data-spoken]")];
  return new Map(told.map((it) => [it.dataset.told ?? thing(it), it.dataset.spoken || text(it)]));
}

function hear(heard) {
  if (heard) heardAt = Date.now();
  const words = !heard && Date.now() - heardAt > PATIENCE ? box.dataset.away : "";
  const place = document.getElementById("away");
  if (!place || place.textContent === words) return;
  place.textContent = words;
  if (said) said.textContent = words;
}

function written(seconds) {
  const two = (n) => String(n).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${two(seconds % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`;
}

function count() {
  if (!box.dataset.until || !["active", "pending_approval"].includes(box.dataset.state)) return;
  const left = Math.floor((new Date(box.dataset.until) - Date.now()) / 1000);
  const clock = written(Math.max(left, 0));
  const place = document.getElementById("countdown");
  if (place) place.textContent = box.dataset.left.replace("0:00", clock);
  document.title = `${clock} · ${title}`;
}

if (box.dataset.open) look();
// A tab that comes to the front, or a lid that opens, must not wait for its slow turn.
document.addEventListener("visibilitychange", () => document.hidden || !box.dataset.open || look());
count();
setInterval(count, 1000);
