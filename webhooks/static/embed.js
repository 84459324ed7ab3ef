// The frame within a helpdesk's page: opens our page of the ticket in a window of its own, is handed a token by it, and
// shows how the elevation stands. It has no cookie, and may not rely on one.
const frame = document.getElementById("frame");
const KEPT = `ticket-elevate ${frame.dataset.connection}`;
const GIVE_UP = 10000; // milliseconds, after which an answer is not waited for any more
let token = frame.dataset.token || kept();
let etag = null;
let turn = 0;
let next;

// Until the tab is closed: the frame is loaded anew with each ticket. A browser that blocks what frames keep throws.
function kept() {
  try {
    return sessionStorage.getItem(KEPT) ?? "";
  } catch {
    return "";
  }
}

function keep() {
  try {
    if (token) sessionStorage.setItem(KEPT, token);
    else sessionStorage.removeItem(KEPT);
  } catch {
    // It is known as long as this frame is there.
  }
}

// Only a window that is no stranger to us can hand over the token, so the link's own noopener is not wanted here.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[target=_blank]");
  if (!link?.href || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (window.open(link.href, "ticket-elevate", "popup,width=760,height=860")) event.preventDefault();
});

addEventListener("message", (event) => {
  const told = event.data;
  if (event.origin !== location.origin || told?.kind !== "ticket-elevate") return;
  if (told.connection !== frame.dataset.connection || frame.dataset.token) return;
  token = told.token;
  etag = null;
  keep();
  look();
});

// The ticket, where the helpdesk tells it later than it loads the frame.
frame.addEventListener("ticket", (event) => {
  const { ticket } = event.detail;
  frame.dataset.ticket = ticket;
  document.getElementById("elevate").href = `/elevate/${frame.dataset.connection}/${encodeURIComponent(ticket)}`;
  document.getElementById("number").textContent = frame.dataset.named.replace("0", ticket);
  look();
});

async function look() {
  const mine = ++turn; // another look may have been under way: its answer is old
  clearTimeout(next);
  const { connection, ticket } = frame.dataset;
  if (!token || !ticket) return;
  const headers = { Authorization: `Bearer ${token}`, ...(etag && { "If-None-Match": etag }) };
  const address = `/embed/${connection}/${encodeURIComponent(ticket)}/status`;
  let heard = false;
  try {
    const answer = await fetch(address, { headers, credentials: "omit", signal: AbortSignal.timeout(GIVE_UP) });
    if (mine !== turn) return;
    if (answer.status === 401) return forget();
    if (answer.status === 200) {
      const text = await answer.text();
      if (mine !== turn) return;
      draw(text);
      etag = answer.headers.get("ETag");
    }
    heard = answer.ok || answer.status === 304;
  } catch {
    // The server is restarting or the lid was closed: the next look finds out.
    if (mine !== turn) return;
  }
  document.getElementById("away").textContent = heard ? "" : frame.dataset.away;
  const open = document.querySelector("#status [data-open='1']");
  next = setTimeout(look, open && !document.hidden ? 2000 : 10000);
}

function draw(text) {
  put(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
  document.dispatchEvent(new Event("drawn"));
}

// Whoever was on a link with the keyboard is on the same link afterwards, or on the button.
function put(...nodes) {
  const status = document.getElementById("status");
  const focused = status.contains(document.activeElement) && document.activeElement;
  status.replaceChildren(...nodes);
  if (!focused) return;
  const heir = [...status.querySelectorAll("a")].find((it) => it.href === focused.href);
  (heir ?? document.getElementById("elevate")).focus({ preventScroll: true });
}

// Signed out: what was on is nobody's to see any more.
function forget() {
  token = "";
  delete frame.dataset.token;
  etag = null;
  keep();
  put();
}

document.addEventListener("visibilitychange", () => document.hidden || look());
look();
