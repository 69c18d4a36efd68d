"use strict";
// Planes through two volumes, resampled on a 2-D canvas. Points are in mm, LPS+: x to the patient's left, y to the
// back, z to the head. Matrices are 16 numbers, row by row.
const Planes = (() => {
  const UNKNOWN = 255, SOFT_EDGE_PER_CM = 0.08;

  const add = (a, b, f = 1) => [a[0] + f * b[0], a[1] + f * b[1], a[2] + f * b[2]];
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const scaled = (a, f) => [a[0] * f, a[1] * f, a[2] * f];
  const apply = (m, p) => [0, 1, 2].map(r => m[4 * r] * p[0] + m[4 * r + 1] * p[1] + m[4 * r + 2] * p[2] + m[4 * r + 3]);
  const turn = (m, v) => [0, 1, 2].map(r => m[4 * r] * v[0] + m[4 * r + 1] * v[1] + m[4 * r + 2] * v[2]);

  function multiply(a, b) {
    const product = new Array(16).fill(0);
    for (let r = 0; r < 4; r++) for (let c = 0; c < 4; c++) for (let k = 0; k < 4; k++) product[4 * r + c] += a[4 * r + k] * b[4 * k + c];
    return product;
  }

  function inverse(m) { // of an affine matrix
    const [a, b, c, , d, e, f, , g, h, i] = m;
    const A = e * i - f * h, B = f * g - d * i, C = d * h - e * g, det = a * A + b * B + c * C;
    const r = [A, c * h - b * i, b * f - c * e, B, a * i - c * g, c * d - a * f, C, b * g - a * h, a * e - b * d].map(v => v / det);
    const t = [m[3], m[7], m[11]];
    const s = [0, 1, 2].map(k => -(r[3 * k] * t[0] + r[3 * k + 1] * t[1] + r[3 * k + 2] * t[2]));
    return [r[0], r[1], r[2], s[0], r[3], r[4], r[5], s[1], r[6], r[7], r[8], s[2], 0, 0, 0, 1];
  }

  function rotation(vectorDeg) { // 3x3 as 16 numbers, from a rotation vector in degrees (Rodrigues)
    const angle = Math.hypot(...vectorDeg) * Math.PI / 180;
    if (angle === 0) return [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    const [x, y, z] = scaled(vectorDeg, Math.PI / 180 / angle), c = Math.cos(angle), s = Math.sin(angle), k = 1 - c;
    return [c + x * x * k, x * y * k - z * s, x * z * k + y * s, 0, y * x * k + z * s, c + y * y * k, y * z * k - x * s, 0,
      z * x * k - y * s, z * y * k + x * s, c + z * z * k, 0, 0, 0, 0, 1];
  }

  function rotationVector(m) { // in degrees
    const v = [m[9] - m[6], m[2] - m[8], m[4] - m[1]], sine = Math.hypot(...v) / 2;
    const cosine = (m[0] + m[5] + m[10] - 1) / 2, angle = Math.atan2(sine, cosine) * 180 / Math.PI;
    return sine < 1e-12 ? [0, 0, 0] : scaled(v, angle / (2 * sine));
  }

  function motion(shift, vectorDeg, centre) { // turn about the centre, then shift
    const m = rotation(vectorDeg), moved = turn(m, centre);
    [m[3], m[7], m[11]] = [0, 1, 2].map(k => centre[k] + shift[k] - moved[k]);
    return m;
  }

  // LPS to voxel indices; "values" are bytes with x fastest
  function volume(header, bytes) {
    const affine = header.affine.flat();
    return { shape: header.shape, values: bytes, window: header.window, toIndex: inverse(affine), affine };
  }

  const HOT = [], COOL = [], GREY = [];
  for (let v = 0; v < 256; v++) {
    const t = v / 255;
    HOT.push([Math.min(255, 660 * t), Math.max(0, Math.min(255, 430 * (t - 0.28))), Math.max(0, Math.min(255, 640 * (t - 0.6)))]);
    COOL.push([Math.max(0, Math.min(255, 480 * (t - 0.45))), Math.min(255, 300 * t), Math.min(255, 90 + 420 * t)]);
    GREY.push([v, v, v]);
  }
  const SCALES = { hot: Float32Array.from(HOT.flat()), cool: Float32Array.from(COOL.flat()), grey: Float32Array.from(GREY.flat()) };

  function start(vol, matrix, corner, stepX, stepY) { // indices of the first pixel and steps to the next ones
    const m = multiply(vol.toIndex, matrix);
    return [apply(m, corner), turn(m, stepX), turn(m, stepY)];
  }

  function fill(image, width, height, plane, spect, map, pose, look) {
    const { centre, right, down, mmPerPixel } = plane, step = mmPerPixel;
    const corner = add(add(centre, right, -step * (width - 1) / 2), down, -step * (height - 1) / 2);
    const eye = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    const [s0, sx, sy] = start(spect, eye, corner, scaled(right, step), scaled(down, step));
    const [m0, mx, my] = start(map, pose, corner, scaled(right, step), scaled(down, step));
    const colours = SCALES[look.scale], out = image.data, mu = new Float32Array(width * height);
    const toGrey = 255 * map.window / UNKNOWN / look.white;
    const [mx0, mx1, mx2] = mx, [sx0, sx1, sx2] = sx;
    for (let j = 0, n = 0; j < height; j++) {
      let ma = m0[0] + j * my[0], mb = m0[1] + j * my[1], mc = m0[2] + j * my[2];
      let sa = s0[0] + j * sy[0], sb = s0[1] + j * sy[1], sc = s0[2] + j * sy[2];
      for (let i = 0; i < width; i++, n++, ma += mx0, mb += mx1, mc += mx2, sa += sx0, sb += sx1, sc += sx2) {
        const value = sample(map, ma, mb, mc, true);
        let r, g, b;
        if (value < 0) { mu[n] = -1; r = 20; g = 28; b = 52; } else {
          mu[n] = value * map.window / UNKNOWN;
          r = g = b = Math.min(255, value * toGrey);
        }
        const count = sample(spect, sa, sb, sc, false);
        if (count > 0) {
          const level = Math.min(255, count * look.gain) | 0, alpha = look.opacity * Math.min(1, level / 140), c = 3 * level;
          r += alpha * (colours[c] - r); g += alpha * (colours[c + 1] - g); b += alpha * (colours[c + 2] - b);
        }
        out[4 * n] = r; out[4 * n + 1] = g; out[4 * n + 2] = b; out[4 * n + 3] = 255;
      }
    }
    if (look.outline) outline(out, mu, width, height);
  }

  function outline(out, mu, width, height) { // edge of lungs and body
    for (let j = 0; j + 1 < height; j++) for (let i = 0; i + 1 < width; i++) {
      const n = j * width + i, here = mu[n] > SOFT_EDGE_PER_CM;
      const known = mu[n] >= 0 && mu[n + 1] >= 0 && mu[n + width] >= 0;
      if (known && (here !== mu[n + 1] > SOFT_EDGE_PER_CM || here !== mu[n + width] > SOFT_EDGE_PER_CM)) {
        out[4 * n] = 110; out[4 * n + 1] = 225; out[4 * n + 2] = 140;
      }
    }
  }

  // trilinear; -1 outside of a map and where it knows nothing, 0 outside of a SPECT
  function sample(vol, x, y, z, isMap) {
    const [nx, ny, nz] = vol.shape, v = vol.values;
    if (!(x >= -0.5 && y >= -0.5 && z >= -0.5 && x <= nx - 0.5 && y <= ny - 0.5 && z <= nz - 0.5)) return isMap ? -1 : 0;
    if (x < 0) x = 0; else if (x > nx - 1) x = nx - 1;
    if (y < 0) y = 0; else if (y > ny - 1) y = ny - 1;
    if (z < 0) z = 0; else if (z > nz - 1) z = nz - 1;
    const i = Math.min(nx - 2, x | 0), j = Math.min(ny - 2, y | 0), k = Math.min(nz - 2, z | 0), u = x - i, w = y - j, t = z - k;
    const slice = nx * ny, n = i + nx * j + slice * k;
    const a = v[n], b = v[n + 1], c = v[n + nx], d = v[n + nx + 1];
    const e = v[n + slice], f = v[n + slice + 1], g = v[n + slice + nx], h = v[n + slice + nx + 1];
    if (isMap) {
      const nearest = v[(u > 0.5 ? i + 1 : i) + nx * (w > 0.5 ? j + 1 : j) + slice * (t > 0.5 ? k + 1 : k)];
      if (nearest === UNKNOWN) return -1;
      if (a === UNKNOWN || b === UNKNOWN || c === UNKNOWN || d === UNKNOWN || e === UNKNOWN || f === UNKNOWN || g === UNKNOWN || h === UNKNOWN) return nearest;
    }
    const low = (a + u * (b - a)) * (1 - w) + (c + u * (d - c)) * w, high = (e + u * (f - e)) * (1 - w) + (g + u * (h - g)) * w;
    return low + t * (high - low);
  }

  return { add, dot, cross, scaled, apply, turn, multiply, inverse, rotation, rotationVector, motion, volume, fill, sample };
})();
