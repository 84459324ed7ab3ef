// While the list is read again: asks whether there is something new. Shows it, or offers to where somebody types.
const box = document.getElementById("roles");
const GIVE_UP = 120; // seconds, after which nobody waits any more

function show() {
  const field = document.getElementById("q");
  const typing = field && (field.value !== field.defaultValue || document.activeElement === field);
  const here = document.activeElement && document.activeElement !== document.body;
  const newer = document.getElementById("newer");
  if (!newer || (!typing && !here)) return location.reload();
  document.getElementById("reading")?.remove();
  newer.textContent = newer.dataset.ready;
}

async function look(left) {
  try {
    const answer = await fetch(box.dataset.status);
    // Signed out elsewhere: the reload shows the page for that.
    if (answer.status === 401) return location.reload();
    if (answer.ok) {
      const { reading, version } = await answer.json();
      const news = version !== box.dataset.version;
      if (news && (box.dataset.empty || !reading)) return show();
      if (!reading) return document.getElementById("reading")?.remove();
    }
  } catch {
    // The server is restarting or the lid was closed: the next look finds out.
  }
  if (left > 0) setTimeout(look, 1000, left - 1);
}

if (box.dataset.reading) look(GIVE_UP);
