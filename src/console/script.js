// The console works without this; with it, the list of events can follow live, and times are told in words.
"use strict";

(() => {
  const rows = document.getElementById("rows");
  const live = document.getElementById("live");
  const count = document.getElementById("count");
  const interval = 3000;

  // Live: the page is fetched again, and its new rows take the old ones' place.
  async function refresh() {
    try {
      const response = await fetch(location.href, { credentials: "same-origin", redirect: "error" });
      if (!response.ok) throw new Error(String(response.status));
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const fresh = page.getElementById("rows");
      if (!fresh) throw new Error("no rows");
      const known = new Set([...rows.children].map((row) => row.dataset.sequence));
      let added = 0;
      for (const row of fresh.children) {
        if (!known.has(row.dataset.sequence)) {
          row.classList.add("new");
          added += 1;
        }
      }
      if (added > 0) {
        rows.replaceChildren(...fresh.children);
        count.textContent = added + (added === 1 ? " new record" : " new records");
      }
    } catch {
      stop("Live view ended: the console does not answer.");
    }
  }

  let timer = null;
  function stop(why) {
    clearInterval(timer);
    timer = null;
    live.setAttribute("aria-pressed", "false");
    if (why) count.textContent = why;
  }
  if (rows && live) {
    live.hidden = false;
    live.addEventListener("click", () => {
      if (timer !== null) return stop("Live view is off.");
      live.setAttribute("aria-pressed", "true");
      count.textContent = "Live view is on.";
      timer = setInterval(refresh, interval);
      refresh();
    });
  }

  // A span of the timeline, drawn over with the mouse, becomes the time asked for.
  for (const chart of document.querySelectorAll("svg[data-from]")) {
    const at = (event) => {
      const box = chart.getBoundingClientRect();
      const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      return Number(chart.dataset.from) + part * (Number(chart.dataset.to) - Number(chart.dataset.from));
    };
    let begin = null;
    chart.addEventListener("pointerdown", (event) => { begin = at(event); });
    chart.addEventListener("pointerup", (event) => {
      if (begin === null) return;
      const [from, to] = [begin, at(event)].sort((a, b) => a - b);
      begin = null;
      if ((to - from) / (Number(chart.dataset.to) - Number(chart.dataset.from)) < 0.01) return;
      const url = new URL(location.href);
      url.searchParams.set("since", new Date(from / 1000).toISOString().slice(0, 19));
      url.searchParams.set("until", new Date(to / 1000 + 1000).toISOString().slice(0, 19));
      location.assign(url);
    });
  }

  // `/` goes to the words, as in many applications; never while something is being typed.
  document.addEventListener("keydown", (event) => {
    const words = document.getElementById("words");
    if (event.key === "/" && words && !event.target.matches("input, select, textarea") && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      words.focus();
    }
  });

  // Fields left empty do not clutter a shared address.
  for (const form of document.querySelectorAll("form.question")) {
    form.addEventListener("submit", () => {
      for (const field of form.elements) {
        if (field.name && field.value === "") field.disabled = true;
      }
    });
  }
})();
