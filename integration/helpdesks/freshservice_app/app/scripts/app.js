// Shows Ticket Elevate's page of this ticket, and a link to it for browsers or sites that show no frame within a frame.
// Who looks is not told: Freshservice's page cannot prove it, so our own page asks for a sign-in.
"use strict";

async function show() {
  const client = await app.initialized();
  const [{ ticket }, { url, connection }] = await Promise.all([client.data.get("ticket"), client.iparams.get()]);
  // The number that people see and that the API takes, without INC- or SR-.
  const number = encodeURIComponent(ticket.display_id ?? ticket.id);
  const base = new URL(url).origin;
  const frame = document.getElementById("elevate");
  const link = document.getElementById("link");
  frame.src = `${base}/embed/${encodeURIComponent(connection)}/${number}`;
  link.href = `${base}/elevate/${encodeURIComponent(connection)}/${number}`;
  frame.hidden = link.hidden = false;
}

show().catch(() => {
  document.getElementById("wrong").textContent =
    "The ticket could not be read. Reload the page, or use the link in the ticket's note.";
});
