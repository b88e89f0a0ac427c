"use strict";
// Sorting, filtering, copying and the theme; the page reads well without any of it.
(function () {
  const root = document.documentElement;
  const themes = ["auto", "light", "dark"];
  const button = document.getElementById("theme");
  const remember = (value) => { try { localStorage.setItem("gate-theme", value); } catch (e) { /* file:// may refuse */ } };
  const recall = () => { try { return localStorage.getItem("gate-theme"); } catch (e) { return null; } };
  function theme(name) {
    if (name === "auto") { delete root.dataset.theme; } else { root.dataset.theme = name; }
    button.textContent = { auto: "◐", light: "☀", dark: "☾" }[name] + " " + name;
    remember(name);
  }
  let current = themes.includes(recall()) ? recall() : "auto";
  theme(current);
  button.hidden = false;
  button.addEventListener("click", () => {
    current = themes[(themes.indexOf(current) + 1) % themes.length];
    theme(current);
  });

  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const body = table.tBodies[0];
    const heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((h) => h.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const value = (row) => row.cells[column].dataset.v;
        const rows = Array.from(body.rows).sort((a, b) => {
          const [x, y] = [value(a), value(b)];
          const order = head.classList.contains("num") ? Number(x) - Number(y) : x.localeCompare(y);
          return down ? -order : order;
        });
        body.append(...rows);
      });
    });
  }

  const filter = document.getElementById("filter");
  if (filter) {
    const rows = Array.from(document.querySelectorAll("#targets tbody tr"));
    const shown = document.getElementById("shown");
    const chips = Array.from(document.querySelectorAll("[data-only]"));
    let only = "all";
    const apply = () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      for (const row of rows) {
        const text = row.dataset.text;
        const fits = words.every((w) => text.includes(w))
          && (only === "all" || row.dataset.groups.split(" ").includes(only));
        row.hidden = !fits;
        count += fits ? 1 : 0;
      }
      shown.textContent = count + " of " + rows.length;
    };
    filter.addEventListener("input", apply);
    chips.forEach((chip) => chip.addEventListener("click", () => {
      only = chip.dataset.only;
      chips.forEach((c) => c.setAttribute("aria-pressed", String(c === chip)));
      apply();
    }));
    apply();
  }

  for (const copy of document.querySelectorAll("[data-copy]")) {
    copy.hidden = false;
    copy.addEventListener("click", () => {
      const text = copy.previousElementSibling.textContent;
      const done = () => { copy.textContent = "copied"; setTimeout(() => { copy.textContent = "copy"; }, 1500); };
      if (navigator.clipboard) { navigator.clipboard.writeText(text).then(done); return; }
      const area = document.createElement("textarea"); // file:// has no clipboard API
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      done();
    });
  }
})();
