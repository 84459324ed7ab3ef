// While nothing waits: looks again when the tab comes to the front. Nothing is typed here that could be lost.
document.addEventListener("visibilitychange", () => document.hidden || location.reload());
