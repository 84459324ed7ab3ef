// Asks Zendesk's page which ticket it shows, in the words of its Apps framework. Zendesk's own script would do so, too,
// but no script of others runs on a page of ours. Source: github.com/zendesk/zendesk_app_framework_sdk, lib/client.js
{
  const frame = document.getElementById("frame");
  const asked = new URLSearchParams(location.search);
  const origin = asked.get("origin");
  const appGuid = asked.get("app_guid");
  const TICKET = "ticket.id";

  const say = (message) => parent.postMessage(JSON.stringify({ ...message, appGuid, instanceGuid: appGuid }), origin);

  const heard = (told) => {
    if (told.key === "zaf.app.registered") {
      say({ id: 1, request: "invoke", params: { resize: [{ width: "100%", height: "10rem" }] } });
      say({ id: 2, request: "get", params: [TICKET] });
    }
    const ticket = told.id === 2 && told.result?.[TICKET];
    if (ticket) frame.dispatchEvent(new CustomEvent("ticket", { detail: { ticket: String(ticket) } }));
  };

  if (frame.dataset.framedBy.split(" ").includes(origin)) {
    addEventListener("message", (event) => {
      if (event.source !== parent || event.origin !== origin) return;
      let told = event.data;
      try {
        if (typeof told === "string") told = JSON.parse(told);
      } catch {
        return;
      }
      if (told) heard(told);
    });
    say({ key: "iframe.handshake", message: { version: "2.0.0" } });
  }
}
