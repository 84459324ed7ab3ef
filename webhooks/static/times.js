// Times in the reader's own zone, which is named; relative ones stay true while the page is open.
const language = document.documentElement.lang;
const day = { year: "numeric", month: "short", day: "numeric" };
const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" };
let moment, date, time, clockAlone, relative;
const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

// A browser takes longer for these than for the rest of a page, so they are made when it is painted.
function make() {
  moment = new Intl.DateTimeFormat(language, { ...day, ...clock });
  date = new Intl.DateTimeFormat(language, day);
  time = new Intl.DateTimeFormat(language, clock);
  clockAlone = new Intl.DateTimeFormat(language, { ...clock, timeZoneName: undefined });
  relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
}

function fromNow(at) {
  const seconds = Math.round((at - Date.now()) / 1000);
  const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) ?? units[3];
  return relative.format(Math.trunc(seconds / size), unit);
}

// Without a date on the day of the moment it is told beside, and without a zone where that one names the same.
function short(at, how, of) {
  if (date.format(at) !== date.format(of)) return moment.format(at);
  return (how === "clock" && at.getTimezoneOffset() === of.getTimezoneOffset() ? clockAlone : time).format(at);
}

function written(at, how, of) {
  if (of) return short(at, how, new Date(of));
  const formats = { moment, day: date };
  return how in formats ? formats[how].format(at) : fromNow(at);
}

function show() {
  if (!moment) make();
  for (const element of document.querySelectorAll("time[data-shown-as]")) {
    const at = new Date(element.dateTime);
    const { shownAs: how, of } = element.dataset;
    element.title = how === "moment" ? fromNow(at) : moment.format(at);
    element.textContent = written(at, how, of);
  }
}

requestAnimationFrame(() => setTimeout(show));
setInterval(show, 15000);
document.addEventListener("drawn", show); // a page that draws itself anew
