// Follows what a page shows: asks for its status with an ETag, reloads when it changed, counts the time down.
const box = document.getElementById("followed");
const title = document.title;
let etag = null;
let next;

async function look() {
  try {
    const answer = await fetch(box.dataset.status, { headers: etag ? { "If-None-Match": etag } : {} });
    // Signed out elsewhere, or signed in as somebody else: the reload shows the page for that.
    if (answer.status === 401 || answer.status === 404) return location.reload();
    if (answer.status === 200) {
      etag = answer.headers.get("ETag");
      const status = await answer.json();
      if (status.version !== box.dataset.version) return location.reload();
      if (!status.open) return;
    }
  } catch {
    // The server is restarting or the lid was closed: the next look finds out.
  }
  clearTimeout(next); // another look may have been under way
  next = setTimeout(look, document.hidden ? 10000 : 1000);
}

function written(seconds) {
  const two = (n) => String(n).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${two(seconds % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`;
}

function count() {
  const left = Math.floor((new Date(box.dataset.until) - Date.now()) / 1000);
  const clock = written(Math.max(left, 0));
  const place = document.getElementById("countdown");
  if (place) place.textContent = box.dataset.left.replace("0:00", clock);
  document.title = `${clock} · ${title}`;
}

if (box.dataset.open) look();
// A tab that comes to the front, or a lid that opens, must not wait for its slow turn.
document.addEventListener("visibilitychange", () => document.hidden || !box.dataset.open || look());
if (box.dataset.until && ["active", "pending_approval"].includes(box.dataset.state)) {
  count();
  setInterval(count, 1000);
}
