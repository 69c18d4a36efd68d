"use strict";
// Polar maps of 17 segments (Cerqueira et al., Circulation 2002): anterior up, septum left.
const Polar = (() => {
  // from the anterior wall counter-clockwise, through the septum
  const RINGS = [{ first: 1, sectors: 6, inner: 0.72, outer: 1.0 }, { first: 7, sectors: 6, inner: 0.46, outer: 0.72 },
    { first: 13, sectors: 4, inner: 0.2, outer: 0.46 }];

  function draw(canvas, values, colour) {
    const side = canvas.width, middle = side / 2, radius = middle - 3, pen = canvas.getContext("2d");
    pen.clearRect(0, 0, side, side);
    if (!values) return;
    pen.font = `${Math.round(side / 13)}px sans-serif`;
    pen.textAlign = "center"; pen.textBaseline = "middle"; pen.strokeStyle = "#11151c";
    for (const ring of RINGS) for (let k = 0; k < ring.sectors; k++) {
      const width = 2 * Math.PI / ring.sectors, at = -Math.PI / 2 - k * width;
      pen.beginPath();
      pen.arc(middle, middle, radius * ring.outer, at - width / 2, at + width / 2);
      pen.arc(middle, middle, radius * ring.inner, at + width / 2, at - width / 2, true);
      pen.closePath();
      label(pen, values[ring.first + k - 1], colour, middle + radius * (ring.inner + ring.outer) / 2 * Math.cos(at), middle + radius * (ring.inner + ring.outer) / 2 * Math.sin(at));
    }
    pen.beginPath();
    pen.arc(middle, middle, radius * 0.2, 0, 2 * Math.PI);
    label(pen, values[16], colour, middle, middle);
  }

  function label(pen, value, colour, x, y) {
    const [r, g, b] = colour(value);
    pen.fillStyle = `rgb(${r | 0},${g | 0},${b | 0})`;
    pen.fill(); pen.stroke();
    pen.fillStyle = 0.3 * r + 0.59 * g + 0.11 * b > 120 ? "#000" : "#fff";
    pen.fillText(value.toFixed(0).replace("-0", "0"), x, y);
  }

  const uptake = value => {
    const t = Math.max(0, Math.min(1, value / 100));
    return [Math.min(255, 660 * t), Math.max(0, Math.min(255, 430 * (t - 0.28))), Math.max(0, Math.min(255, 640 * (t - 0.6)))];
  };
  const change = points => {
    const t = Math.max(-1, Math.min(1, points / 15));
    return t >= 0 ? [245 - 190 * t, 245 - 90 * t, 245] : [245, 245 + 120 * t, 245 + 190 * t];
  };
  return { draw, uptake, change };
})();
