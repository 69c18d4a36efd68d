"use strict";
document.getElementById("login").addEventListener("submit", async event => {
  event.preventDefault();
  const by = id => document.getElementById(id);
  by("message").textContent = "";
  let answer, text;
  try {
    answer = await fetch("/login", { method: "POST", headers: { "content-type": "application/json", "x-mureg-review": "1" },
      body: JSON.stringify({ name: by("name").value, password: by("password").value }) });
    text = await answer.text();
  } catch { by("message").textContent = "mureg review does not answer: was it stopped?"; return; }
  if (answer.ok) { location.replace("/"); return; }
  try { text = JSON.parse(text).problem; } catch { /* refusals of the guard are plain words */ }
  by("password").value = "";
  by("message").textContent = text;
  by("password").focus();
});
