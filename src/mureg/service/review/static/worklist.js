"use strict";
(() => {
  const rows = [...document.querySelectorAll("#studies tbody tr")];
  const decision = document.getElementById("filter-decision"), reviewed = document.getElementById("filter-reviewed");
  let current = -1;
  function filter() {
    for (const row of rows) {
      const fits = (!decision.value || row.dataset.decision === decision.value) && (!reviewed.value || (row.dataset.reviewed === "") === (reviewed.value === "no"));
      row.hidden = !fits;
    }
    document.getElementById("progress").textContent = `${rows.filter(row => row.dataset.reviewed).length} of ${rows.length} reviewed, ${rows.filter(row => !row.hidden).length} shown`;
    current = -1;
  }
  function go(step) {
    const shown = rows.filter(row => !row.hidden);
    if (!shown.length) return;
    current = (current + step + shown.length) % shown.length;
    shown[current].querySelector("a").focus();
  }
  decision.addEventListener("change", filter);
  reviewed.addEventListener("change", filter);
  document.addEventListener("keydown", event => {
    if (["SELECT", "BUTTON"].includes(event.target.tagName)) return;
    if (event.key === "ArrowDown" || event.key === "n") { go(1); event.preventDefault(); }
    if (event.key === "ArrowUp" || event.key === "p") { go(-1); event.preventDefault(); }
  });
  const signOut = document.getElementById("sign-out");
  if (signOut) signOut.addEventListener("click", async () => {
    await fetch("/logout", { method: "POST", headers: { "content-type": "application/json", "x-mureg-review": "1" }, body: "{}" });
    location.replace("/login");
  });
  filter();
})();
