"use strict";
document.getElementById("login").addEventListener("submit", async event => {
  event.preventDefault();
  const by = id => document.getElementById(id);
  by("message").textContent = "";
  const answer = await fetch("/login", { method: "POST", headers: { "content-type": "application/json", "x-mureg-review": "1" },
    body: JSON.stringify({ name: by("name").value, password: by("password").value }) });
  if (answer.ok) { location.replace("/"); return; }
  by("password").value = "";
  by("message").textContent = (await answer.json()).problem;
  by("password").focus();
});
