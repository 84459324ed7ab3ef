// Hands the frame that opened this window what it may read the status with. Only a page of our own origin gets it.
{
  const { connection, token } = document.currentScript.dataset;
  window.opener?.postMessage({ kind: "ticket-elevate", connection, token }, location.origin);
}
