"use strict";
(async () => {
  const app = document.getElementById("app"), index = Number(app.dataset.index), count = Number(app.dataset.count);
  const by = id => document.getElementById(id), base = `/api/studies/${index}`;
  const EYE = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], QUIET_MS = 200, LONGEST_PX = 240;
  const opened = performance.now(), timing = { drawMs: [], nudgeMs: [], polarMs: [] };
  const tab = Math.floor(Math.random() * 2 ** 48);
  const ask = async (path, body, signal) => {
    const answer = await fetch(path, body === undefined ? {} : {
      method: "POST", headers: { "content-type": "application/json", "x-mureg-review": "1" }, body: JSON.stringify(body), signal });
    if (answer.status === 401 || answer.status === 403) return { status: answer.status, table: { problem: await ended(answer) } };
    return { status: answer.status, table: await answer.json() };
  };
  async function ended(answer) { // the session, or this run of mureg review
    return answer.status === 401 ? "You are signed out: sign in again in another tab, then go on here." : await answer.text();
  }
  const bytes = async path => {
    const answer = await fetch(path);
    if (!answer.ok) throw new Error((await answer.json()).problem);
    return Planes.volume(JSON.parse(answer.headers.get("x-volume")), new Uint8Array(await answer.arrayBuffer()));
  };

  const { status: answered, table: study } = await ask(base);
  if (answered !== 200) { by("message").textContent = study.problem; return; }
  let seen = study.seen, spect, map, corrected = null, asked = 0, timer = 0, writing = false;
  let pose = study.start, undo = [], redo = [], blink = false, frame = 0, nudgedAt = 0, asking = new AbortController();
  const heart = study.heart_mm, cross = [...heart];

  // ---- planes
  const axes = study.axes, [anterior, lateral, apex] = axes || [];
  const minus = v => Planes.scaled(v, -1);
  const KINDS = {
    "transaxial": { right: [1, 0, 0], down: [0, 1, 0], letters: ["R", "L", "A", "P"], field: 380, chest: 1 },
    "coronal": { right: [1, 0, 0], down: [0, 0, -1], letters: ["R", "L", "H", "F"], field: 380, chest: 1 },
    "sagittal": { right: [0, 1, 0], down: [0, 0, -1], letters: ["A", "P", "H", "F"], field: 300, chest: 1 },
  };
  if (axes) Object.assign(KINDS, {
    "short axis": { right: lateral, down: minus(anterior), letters: ["SEP", "LAT", "ANT", "INF"], field: 150 },
    "vertical long axis": { right: apex, down: minus(anterior), letters: ["BASE", "APEX", "ANT", "INF"], field: 150 },
    "horizontal long axis": { right: lateral, down: minus(apex), letters: ["SEP", "LAT", "APEX", "BASE"], field: 150 },
  });
  const panes = [...document.querySelectorAll(".pane")].filter(canvas => (canvas.hidden = !KINDS[canvas.dataset.pane]) === false)
    .map(canvas => ({ canvas, name: canvas.dataset.pane, ...KINDS[canvas.dataset.pane], buffer: document.createElement("canvas") }));
  const SHORT = { "short axis": "SA", "vertical long axis": "VLA", "horizontal long axis": "HLA" };
  let active = panes[0];

  function middleOf(pane) { // the plane goes through the crosshair; a chest stays in the middle of its window
    if (!pane.chest) {
      const normal = Planes.cross(pane.right, pane.down), from = study.ventricle_mm;
      return Planes.add(from, normal, Planes.dot(Planes.add(cross, from, -1), normal));
    }
    const chest = [0, 1, 2].map(k => { const s = spect.shape, a = spect.affine; return a[4 * k] * (s[0] - 1) / 2 + a[4 * k + 1] * (s[1] - 1) / 2 + a[4 * k + 2] * (s[2] - 1) / 2 + a[4 * k + 3]; });
    const middle = [chest[0], chest[1], heart[2]], normal = Planes.cross(pane.right, pane.down);
    return Planes.add(middle, normal, Planes.dot(Planes.add(cross, middle, -1), normal));
  }
  const look = () => ({ scale: by("scale").value, opacity: Number(by("opacity").value), gain: Number(by("gain").value),
    white: Number(by("white").value), outline: by("outline").checked });
  const shown = () => blink ? EYE : pose;

  function draw() {
    frame = 0;
    if (fallback) { fallback.show(); return; }
    if (!spect || !map) return;
    const begun = performance.now(), l = look(), image = by("image").value === "corrected" && corrected ? corrected : spect;
    try {
      for (const pane of panes) drawPane(pane, image, l);
    } catch (problem) { begin(problem.message); return; }
    timing.drawMs.push(performance.now() - begun);
    app.dataset.drawMs = timing.drawMs.at(-1).toFixed(1);
    shownNow();
  }
  function shownNow() { // the time from a nudge to its picture
    if (!nudgedAt) return;
    timing.nudgeMs.push(performance.now() - nudgedAt);
    nudgedAt = 0;
  }

  // ---- where the browser cannot draw: the program draws the planes, one picture after another
  let fallback = null;
  function begin(why) {
    const picture = document.createElement("img");
    picture.id = "planes"; picture.alt = "transaxial, coronal and sagittal plane, SPECT over the map";
    document.querySelector(".panes").replaceChildren(picture);
    document.querySelector(".panes").classList.add("drawn");
    by("message").textContent = `This browser cannot draw (${why}): mureg draws three planes. Keys and fields move the map.`;
    let loading = false, waiting = false, asked = 0;
    const show = () => {
      if (loading) { waiting = true; return; }
      loading = true; waiting = false;
      const { mean, turn } = moveOf(shown()), names = ["left", "back", "head", "tx", "ty", "tz", "x", "y", "z"];
      const begun = performance.now();
      picture.onload = picture.onerror = event => {
        loading = false;
        if (event.type === "load") {
          timing.drawMs.push(performance.now() - begun);
          if (!waiting) { shownNow(); app.dataset.drawn = asked; }
        }
        if (waiting) show();
      };
      asked += 1;
      picture.src = `${base}/planes.png?` + [...mean, ...turn, ...cross].map((value, k) => `${names[k]}=${value.toFixed(4)}`).join("&");
    };
    fallback = { show };
    show();
  }
  const redraw = () => { if (!frame) frame = requestAnimationFrame(draw); };

  function drawPane(pane, image, l) {
    const { canvas, buffer } = pane, width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const shrink = Math.max(1, Math.max(width, height) / LONGEST_PX), w = Math.round(width / shrink), h = Math.round(height / shrink);
    if (buffer.width !== w || buffer.height !== h || !pane.pixels) { buffer.width = w; buffer.height = h; pane.pixels = new ImageData(w, h); }
    pane.perPixel = pane.field / Math.min(width, height * (pane.chest ? 1.36 : 1));
    pane.centre = middleOf(pane);
    Planes.fill(pane.pixels, w, h, { centre: pane.centre, right: pane.right, down: pane.down, mmPerPixel: pane.perPixel * width / w }, image, map, shown(), l);
    const pen = canvas.getContext("2d"), drawing = buffer.getContext("2d");
    if (!pen || !drawing) throw new Error("no canvas");
    drawing.putImageData(pane.pixels, 0, 0);
    pen.imageSmoothingEnabled = true;
    pen.drawImage(buffer, 0, 0, width, height);
    overlay(pen, pane, width, height);
  }
  const onScreen = (pane, p, w, h) => { const o = Planes.add(p, pane.centre, -1);
    return [w / 2 + Planes.dot(o, pane.right) / pane.perPixel, h / 2 + Planes.dot(o, pane.down) / pane.perPixel]; };

  function overlay(pen, pane, w, h) {
    const [x, y] = onScreen(pane, cross, w, h);
    pen.strokeStyle = "rgba(255,255,255,0.35)"; pen.lineWidth = 1;
    pen.beginPath(); pen.moveTo(x, 0); pen.lineTo(x, h); pen.moveTo(0, y); pen.lineTo(w, y); pen.stroke();
    if (study.interval && study.interval.shift_mm && study.found) box(pen, pane, w, h);
    pen.font = "bold 14px sans-serif"; pen.fillStyle = "#fff"; pen.strokeStyle = "#000"; pen.lineWidth = 3; pen.textBaseline = "middle";
    const [left, right, top, bottom] = pane.letters;
    for (const [text, tx, ty, align] of [[left, 5, h / 2, "left"], [right, w - 5, h / 2, "right"], [top, w / 2, 11, "center"], [bottom, w / 2, h - 11, "center"]]) {
      pen.textAlign = align; pen.strokeText(text, tx, ty); pen.fillText(text, tx, ty);
    }
    pen.font = "11px sans-serif"; pen.textAlign = "left";
    const name = w < 290 ? SHORT[pane.name] || pane.name : pane.name, title = blink ? `${name}: scanner position` : name;
    pen.strokeText(title, 5, 10); pen.fillText(title, 5, 10);
    const bar = (pane.chest ? 50 : 20) / pane.perPixel;
    pen.fillStyle = "#fff"; pen.fillRect(w - bar - 8, h - 10, bar, 3);
    pen.textAlign = "right"; pen.strokeText(`${pane.chest ? 50 : 20} mm`, w - 8, h - 19); pen.fillText(`${pane.chest ? 50 : 20} mm`, w - 8, h - 19);
  }

  function box(pen, pane, w, h) { // 90 % interval of where the map's heart belongs, and where it is now
    const half = study.interval.shift_mm, [x, y] = onScreen(pane, heart, w, h);
    const reach = v => Math.hypot(half[0] * v[0], half[1] * v[1], half[2] * v[2]) / pane.perPixel;
    pen.strokeStyle = "#ffd166"; pen.lineWidth = 1.5;
    pen.strokeRect(x - reach(pane.right), y - reach(pane.down), 2 * reach(pane.right), 2 * reach(pane.down));
    const anchor = Planes.apply(Planes.multiply(Planes.inverse(shown()), study.found), heart), [ax, ay] = onScreen(pane, anchor, w, h);
    pen.fillStyle = "#ffd166"; pen.beginPath(); pen.arc(ax, ay, 3, 0, 7); pen.fill();
  }

  // ---- pose: a motion of the map's anatomy in SPECT space comes before the pose: pose * inverse(motion)
  const moved = (from, shift, turnDeg) => Planes.multiply(from, Planes.inverse(Planes.motion(shift, turnDeg, heart)));
  function setPose(next, keep = true) {
    if (keep) { undo.push(pose); redo = []; }
    pose = next; nudgedAt = performance.now();
    describe(); redraw(); later();
  }
  const nudge = (shift, turnDeg = [0, 0, 0]) => setPose(moved(pose, shift, turnDeg));

  const WAYS = [["to the patient's left", "to the patient's right"], ["to the back", "to the front"], ["to the head", "to the feet"]];
  function moveOf(m) { // as mureg.assessment.move
    const off = study.heart_points_mm.map(p => Planes.add(p, Planes.apply(m, p), -1));
    const mean = [0, 1, 2].map(k => off.reduce((sum, o) => sum + o[k], 0) / off.length);
    const rms = Math.sqrt(off.reduce((sum, o) => sum + Planes.dot(o, o), 0) / off.length);
    return { mean, rms, turn: Planes.rotationVector(Planes.inverse(m)) };
  }
  function wordsOf({ mean, rms, turn }) {
    const parts = mean.map((mm, k) => [Math.abs(mm), WAYS[k][mm >= 0 ? 0 : 1]]).filter(([mm]) => mm >= 0.05).sort((a, b) => b[0] - a[0]);
    const shift = parts.map(([mm, way]) => `${mm.toFixed(1)} mm ${way}`).join(", ") || "no shift";
    return rms === 0 ? "none: the map is at its scanner position" : `${rms.toFixed(1)} mm (${(rms / study.pixel_mm).toFixed(1)} pixels) at the heart: ${shift}; turned by ${Math.hypot(...turn).toFixed(1)} degrees`;
  }
  const FIELDS = ["left", "back", "head", "turn-x", "turn-y", "turn-z"].map(by);
  function describe() {
    const move = moveOf(pose);
    by("words").textContent = `Map moved ${wordsOf(move)}`;
    [...move.mean, ...move.turn].forEach((value, k) => { if (document.activeElement !== FIELDS[k]) FIELDS[k].value = (Math.abs(value) < 5e-4 ? 0 : value).toFixed(2); });
    by("undo").disabled = !undo.length; by("redo").disabled = !redo.length;
    app.dataset.words = by("words").textContent;
  }
  function fromFields() {
    const [left, back, head, ...turn] = FIELDS.map(field => Number(field.value) || 0);
    setPose(Planes.motion(minus([left, back, head]), minus(turn), heart)); // so that the fields show what was typed
  }

  // ---- what the pose does to the heart
  function later() {
    clearTimeout(timer);
    asking.abort();
    asked += 1;
    if (!study.can_reconstruct) return;
    document.querySelector(".polars").classList.add("stale"); by("mismatch").classList.add("stale"); // of an earlier pose
    timer = setTimeout(request, QUIET_MS, asked, performance.now());
  }
  async function request(number, begun) {
    by("status").textContent = "reconstructing …";
    asking = new AbortController();
    let answer;
    try {
      answer = await ask(`${base}/pose`, { pose, number, tab }, asking.signal);
    } catch (problem) {
      if (number === asked && problem.name !== "AbortError") { by("status").textContent = ""; by("mismatch").textContent = "mureg review does not answer: was it stopped?"; }
      return;
    }
    const { status, table } = answer;
    if (number !== asked) return; // stale
    by("status").textContent = "";
    if (status !== 200) { by("mismatch").textContent = table.problem; return; }
    corrected = Planes.volume(table.image, Uint8Array.from(atob(table.image.values), c => c.charCodeAt(0)));
    showPolar(table);
    for (const part of [document.querySelector(".polars"), by("mismatch")]) part.classList.remove("stale");
    timing.polarMs.push(performance.now() - begun);
    app.dataset.polarMs = timing.polarMs.at(-1).toFixed(0); app.dataset.answered = number;
    redraw();
  }
  function showPolar({ segments, mismatch }) {
    const percent = value => value === null || value === undefined ? "unknown" : `${value.toFixed(1)} %`;
    const found = "found" in mismatch ? `, found ${percent(mismatch.found)}` : "";
    by("mismatch").textContent = `Myocardium over lung (mismatch index): scanner ${percent(mismatch.scanner)}${found}, mine ${percent(mismatch.own)}`;
    if (!segments) return;
    const other = segments.found || segments.scanner;
    by("change-caption").textContent = segments.found ? "mine minus found" : "mine minus scanner";
    app.dataset.segments = JSON.stringify(segments.own);
    if (fallback) { by("segments").textContent = `Segments 1 to 17, mine: ${segments.own.map(v => v.toFixed(0)).join(" ")} %`; return; }
    Polar.draw(by("polar-scanner"), segments.scanner, Polar.uptake);
    Polar.draw(by("polar-found"), segments.found, Polar.uptake);
    Polar.draw(by("polar-own"), segments.own, Polar.uptake);
    Polar.draw(by("polar-change"), segments.own.map((value, k) => value - other[k]), Polar.change);
  }

  // ---- pointer
  for (const pane of panes) {
    let last = null, dragged = false;
    const { canvas } = pane;
    canvas.addEventListener("focus", () => { active = pane; });
    canvas.addEventListener("pointerdown", event => { canvas.focus(); canvas.setPointerCapture(event.pointerId); last = [event.clientX, event.clientY]; dragged = false; });
    canvas.addEventListener("pointermove", event => {
      if (!last) return;
      const dx = event.clientX - last[0], dy = event.clientY - last[1];
      if (!dragged && Math.hypot(dx, dy) < 3) return;
      const first = !dragged, from = last;
      dragged = true; last = [event.clientX, event.clientY];
      if (event.shiftKey) { // about the heart's centre, as far as the pointer goes around it
        const area = canvas.getBoundingClientRect(), [hx, hy] = onScreen(pane, heart, area.width, area.height);
        const angle = ([x, y]) => Math.atan2(y - area.top - hy, x - area.left - hx);
        const turned = Math.atan2(Math.sin(angle(last) - angle(from)), Math.cos(angle(last) - angle(from))) * 180 / Math.PI;
        setPose(moved(pose, [0, 0, 0], Planes.scaled(Planes.cross(pane.right, pane.down), turned)), first);
      } else setPose(moved(pose, Planes.add(Planes.scaled(pane.right, dx * pane.perPixel), pane.down, dy * pane.perPixel), [0, 0, 0]), first);
    });
    canvas.addEventListener("pointerup", event => {
      if (last && !dragged) {
        const area = canvas.getBoundingClientRect(), u = (event.clientX - area.left - area.width / 2) * pane.perPixel, v = (event.clientY - area.top - area.height / 2) * pane.perPixel;
        Planes.add(Planes.add(pane.centre, pane.right, u), pane.down, v).forEach((value, k) => { cross[k] = value; });
        redraw();
      }
      last = null;
    });
    canvas.addEventListener("pointercancel", () => { last = null; });
    canvas.addEventListener("wheel", event => { scroll(pane, -Math.sign(event.deltaY)); event.preventDefault(); }, { passive: false });
  }
  function scroll(pane, steps) { // towards the viewer's back: feet to head, front to back, right to left
    const n = Planes.cross(pane.right, pane.down), way = Planes.dot(n, [1, 1, 1]) >= 0 ? 1 : -1;
    Planes.add(cross, n, way * steps * study.pixel_mm / 2).forEach((value, k) => { cross[k] = value; });
    redraw();
  }

  // ---- keys
  const ARROWS = { ArrowLeft: ["right", -1], ArrowRight: ["right", 1], ArrowUp: ["down", -1], ArrowDown: ["down", 1] };
  document.addEventListener("keydown", event => {
    if (["INPUT", "TEXTAREA", "SELECT"].includes(event.target.tagName) || event.ctrlKey && event.key !== "z" && event.key !== "y" || event.metaKey) return;
    const onButton = ["BUTTON", "A", "SUMMARY"].includes(event.target.tagName);
    const arrow = ARROWS[event.key];
    if (arrow) {
      const step = event.shiftKey ? study.pixel_mm : event.altKey ? 0.25 : 1;
      nudge(Planes.scaled(active[arrow[0]], arrow[1] * step));
    } else if (event.key === "[" || event.key === "]") {
      nudge([0, 0, 0], Planes.scaled(Planes.cross(active.right, active.down), event.key === "]" ? 0.5 : -0.5));
    } else if (event.key === " " && !onButton) { if (!blink) { blink = true; redraw(); }
    } else if (event.key === "PageUp" || event.key === "PageDown") scroll(active, event.key === "PageUp" ? 1 : -1);
    else if (event.key >= "1" && event.key <= String(panes.length)) { active = panes[Number(event.key) - 1]; active.canvas.focus(); }
    else if (event.key === "z") back();
    else if (event.key === "y") forth();
    else if (event.key === "f" && study.found) setPose(study.found);
    else if (event.key === "s") setPose(EYE);
    else if (event.key === "n" && index + 1 < count) location.href = `/studies/${index + 1}`;
    else if (event.key === "p" && index > 0) location.href = `/studies/${index - 1}`;
    else return;
    event.preventDefault();
  });
  document.addEventListener("keyup", event => { if (event.key === " " && blink) { blink = false; redraw(); } });
  window.addEventListener("blur", () => { if (blink) { blink = false; redraw(); } });
  function back() { if (undo.length) { redo.push(pose); setPose(undo.pop(), false); } }
  function forth() { if (redo.length) { undo.push(pose); setPose(redo.pop(), false); } }
  by("undo").addEventListener("click", back);
  by("redo").addEventListener("click", forth);
  by("reset-found").addEventListener("click", () => study.found && setPose(study.found));
  by("reset-scanner").addEventListener("click", () => setPose(EYE));
  for (const field of FIELDS) field.addEventListener("change", fromFields);
  for (const id of ["scale", "opacity", "gain", "white", "outline", "image"]) by(id).addEventListener("input", redraw);
  window.addEventListener("resize", redraw);

  // ---- decision
  for (const reason of study.reasons) {
    const label = document.createElement("label"), tick = document.createElement("input");
    tick.type = "checkbox"; tick.value = reason;
    label.append(tick, ` ${reason}`);
    by("reasons").append(label);
  }
  by("reader").readOnly = study.signed_in;
  by("reader").value = study.reader || sessionStorage.getItem("reader") || "";
  async function decide(decision) {
    if (writing) return;
    const reader = by("reader").value.trim();
    if (!reader) { by("message").textContent = "Give the reader's name first."; by("reader").focus(); return; }
    sessionStorage.setItem("reader", reader);
    const reasons = [...document.querySelectorAll("#reasons input:checked")].map(tick => tick.value);
    const body = { decision, reader, seen, reasons, comment: by("comment").value, seconds: (performance.now() - opened) / 1000 };
    if (decision === "own") body.pose = pose;
    writing = true;
    let answer;
    try {
      answer = await ask(`${base}/decision`, body);
    } catch { answer = { status: 0, table: { problem: "Nothing was stored: mureg review does not answer." } }; }
    writing = false;
    const { status, table } = answer;
    if (status !== 200) {
      by("message").textContent = status === 409 ? `${table.problem} Press again to replace it.` : table.problem;
      if (table.seen !== undefined) seen = table.seen;
      return;
    }
    if (study.blinded && !study.open) { location.reload(); return; }
    follow(table);
  }
  const SAID = { found: "pose found accepted", own: "own pose accepted", scanner: "scanner position kept", rejected: "rejected" };
  async function follow(state) {
    seen = state.seen;
    if (state.reviewed) {
      const rest = state.problem ? `, but its result could not be written: ${state.problem}` : state.writing ? "; writing the result …"
        : state.written ? "; the result is in reviewed/" : state.superseded ? `. Note: ${state.superseded}` : state.reviewed.decision === "rejected" ? "" : "; no result was written";
      by("message").textContent = `${SAID[state.reviewed.decision]} by ${state.reviewed.reader}${rest}`;
      app.dataset.written = state.written; app.dataset.reviewed = state.reviewed.decision;
    }
    if (state.writing) setTimeout(async () => follow((await ask(`${base}/state`)).table), 500);
  }
  by("accept-found").addEventListener("click", () => decide("found"));
  by("accept-own").addEventListener("click", () => decide("own"));
  by("keep-scanner").addEventListener("click", () => decide("scanner"));
  by("reject").addEventListener("click", () => decide("rejected"));

  // ---- begin
  by("decision").textContent = study.open ? `${study.decision.toUpperCase().replace("-", " ")}${study.given_out ? "" : ", pose found not given out"}` : "hidden until yours is stored";
  for (const words of [...(study.reasons_found || []), ...(study.warnings || [])]) { const li = document.createElement("li"); li.textContent = words; by("reasons-found").append(li); }
  for (const id of ["reset-found", "accept-found"]) by(id).disabled = !study.found;
  if (!study.can_reconstruct) by("mismatch").textContent = "SPECT and CT are not at hand (--studies, or --spect and --ct): the map can be moved, but no image is corrected and no result written.";
  if (study.phantom) by("phantom").hidden = false;
  describe();
  follow(study);
  window.review = { heart, get pose() { return pose; }, get cross() { return cross; }, timing, panes, moveOf, onScreen: (name, p) => { const pane = panes.find(one => one.name === name); return onScreen(pane, p, pane.canvas.clientWidth, pane.canvas.clientHeight); } };
  panes[0].canvas.focus({ preventScroll: true });
  try {
    [spect, map] = await Promise.all([bytes(`${base}/spect`), bytes(`${base}/map?now`)]);
  } catch (problem) { by("message").textContent = problem.message; return; }
  draw();
  app.dataset.ready = "yes"; app.dataset.readyMs = (performance.now() - opened).toFixed(0);
  later();
  if (study.can_reconstruct) {
    try { map = await bytes(`${base}/map`); redraw(); app.dataset.fine = "yes"; } catch (problem) { by("message").textContent = problem.message; }
  }
})();
