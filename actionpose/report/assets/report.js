// The moving clip: one pose sequence turned by hand in 3D, and the two 2D views that a model gets to see.
"use strict";
(() => {
  const holder = document.getElementById("clips");
  if (!holder) return;
  const { clips, bones, left, right, fps, scale } = JSON.parse(holder.textContent);
  const JOINTS = 17, PELVIS = 0, NOSE = 9, HEAD = 10, FRONT = -Math.PI / 2;
  const byId = (id) => document.getElementById(id);
  const space = byId("space"), pick = byId("pick"), play = byId("play"), slider = byId("slider");
  const flats = [...document.querySelectorAll(".flat canvas")];
  const sides = Array.from({ length: JOINTS }, (_, j) => (left.includes(j) ? "left" : right.includes(j) ? "right" : "middle"));
  let clip, time = 0, playing = !matchMedia("(prefers-reduced-motion: reduce)").matches, before = null;
  let azimuth, elevation, distance;
  let colours = {};

  const readColours = () => {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["left", "right", "middle", "floor", "shadow", "grid", "ink", "soft", "hair"]) {
      colours[name] = style.getPropertyValue("--" + name).trim();
    }
  };

  const reach = Math.round(fps / 2);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  // --- a clip's numbers ---------------------------------------------------------------------

  const unpack = (source) => {
    const text = atob(source.data), view = new DataView(new ArrayBuffer(text.length));
    for (let i = 0; i < text.length; i++) view.setUint8(i, text.charCodeAt(i));
    const points = new Float32Array(text.length / 2);
    for (let i = 0; i < points.length; i++) points[i] = view.getInt16(2 * i, true) / 1000;
    return points;
  };

  // Orthographic projection as in the shards: camera matrix, pelvis' mean as centre, metres to screen units.
  const project = (points, frames, camera) => {
    const out = new Float32Array(frames * JOINTS * 2);
    let cx = 0, cy = 0;
    for (let i = 0; i < frames * JOINTS; i++) {
      const [x, y, z] = [points[3 * i], points[3 * i + 1], points[3 * i + 2]];
      out[2 * i] = camera[0][0] * x + camera[0][1] * y + camera[0][2] * z;
      out[2 * i + 1] = camera[1][0] * x + camera[1][1] * y + camera[1][2] * z;
      if (i % JOINTS === PELVIS) { cx += out[2 * i] / frames; cy += out[2 * i + 1] / frames; }
    }
    const box = { low: [Infinity, Infinity], high: [-Infinity, -Infinity] };
    for (let i = 0; i < out.length; i++) {
      const k = i % 2;
      out[i] = (out[i] - (k ? cy : cx)) * scale;
      box.low[k] = Math.min(box.low[k], out[i]);
      box.high[k] = Math.max(box.high[k], out[i]);
    }
    const path = Array.from({ length: frames }, (_, t) => out[2 * JOINTS * t]);
    return { points: out, box, path: path.map((_, t) => mean(path.slice(Math.max(0, t - reach), t + reach + 1))) };
  };

  const open = (index) => {
    const source = clips[index];
    if (!source.points) {
      source.points = unpack(source);
      source.views = Object.entries(source.cameras).map(([name, camera]) => ({ name, ...project(source.points, source.frames, camera) }));
      source.path = smooth(source.points, source.frames);
    }
    clip = source;
    time = 0;
    slider.max = clip.frames - 1;
    azimuth = clip.heading + FRONT + 0.55; // in front, a little to the person's left
    elevation = 0.16;
    distance = 4.6;
    const band = byId("band");
    band.hidden = !clip.borders;
    if (clip.borders) {
      const last = clip.frames - 1, from = Math.min(clip.borders[0], last), to = Math.min(clip.borders[1], last);
      band.style.left = (100 * from) / last + "%";
      band.style.width = Math.max(1, (100 * (to - from)) / last) + "%";
    }
    const cut = clip.of > clip.frames ? ` (the first ${clip.frames} of ${clip.of})` : "";
    byId("about").textContent = `${clip.dataset} · ${clip.source} · ${clip.id} · ${clip.frames} frames${cut} at ${fps} fps` + (clip.raw && clip.raw !== clip.label ? ` · annotated as “${clip.raw}”` : "");
    flats.forEach((canvas, k) => {
      canvas.parentElement.querySelector("span").textContent = clip.views[k] ? `${clip.views[k].name}, 2D` : "";
    });
    draw();
  };

  // The camera follows a slow average of the pelvis, so that steps and bounces stay visible.
  const smooth = (points, frames) => {
    const path = [];
    for (let t = 0; t < frames; t++) {
      let x = 0, y = 0, n = 0;
      for (let s = Math.max(0, t - reach); s <= Math.min(frames - 1, t + reach); s++) {
        x += points[3 * JOINTS * s]; y += points[3 * JOINTS * s + 1]; n += 1;
      }
      path.push([x / n, y / n]);
    }
    return path;
  };

  // --- drawing ------------------------------------------------------------------------------

  const prepare = (canvas) => {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const { clientWidth: width, clientHeight: height } = canvas;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.lineCap = "round";
    return { pen, width, height };
  };

  // Perspective camera that circles the followed point at breast height.
  const makeCamera = (width, height, t) => {
    const [tx, ty] = clip.path[t], tz = clip.floor + 0.92;
    const ca = Math.cos(azimuth), sa = Math.sin(azimuth), ce = Math.cos(elevation), se = Math.sin(elevation);
    const focal = 1.75 * Math.min(width, height);
    return (x, y, z) => {
      const dx = x - tx, dy = y - ty, dz = z - tz;
      const away = distance - (dx * ca + dy * sa) * ce - dz * se;
      const across = -dx * sa + dy * ca, up = dz * ce - (dx * ca + dy * sa) * se;
      const size = focal / Math.max(away, 0.2);
      return [width / 2 + across * size, height / 2 - up * size, away, size];
    };
  };

  const line = (pen, a, b) => { pen.beginPath(); pen.moveTo(a[0], a[1]); pen.lineTo(b[0], b[1]); pen.stroke(); };

  const drawFloor = (pen, camera, t) => {
    const [tx, ty] = clip.path[t], far = 3, z = clip.floor;
    pen.strokeStyle = colours.floor;
    pen.lineWidth = 1;
    const x0 = Math.round(2 * tx) / 2, y0 = Math.round(2 * ty) / 2;
    for (let k = -far; k <= far; k += 0.5) {
      for (let s = -far; s < far; s += 0.5) { // in pieces, so that the grid fades with distance
        const fade = (u, v) => Math.max(0, 1 - Math.hypot(u - tx, v - ty) / far);
        pen.globalAlpha = fade(x0 + k, y0 + s + 0.25);
        if (pen.globalAlpha > 0.02) line(pen, camera(x0 + k, y0 + s, z), camera(x0 + k, y0 + s + 0.5, z));
        pen.globalAlpha = fade(x0 + s + 0.25, y0 + k);
        if (pen.globalAlpha > 0.02) line(pen, camera(x0 + s, y0 + k, z), camera(x0 + s + 0.5, y0 + k, z));
      }
    }
    pen.globalAlpha = 0.8;
    pen.strokeStyle = colours.soft;
    pen.setLineDash([3, 4]);
    pen.beginPath(); // the way of the pelvis over the ground
    for (let s = 0; s < clip.frames; s++) {
      const i = 3 * JOINTS * s, p = camera(clip.points[i], clip.points[i + 1], z);
      if (p[2] > 0.5) pen.lineTo(p[0], p[1]);
    }
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  };

  const drawSpace = (t) => {
    const { pen, width, height } = prepare(space);
    const camera = makeCamera(width, height, t), base = 3 * JOINTS * t, P = clip.points;
    drawFloor(pen, camera, t);
    const at = (j, z) => camera(P[base + 3 * j], P[base + 3 * j + 1], z === undefined ? P[base + 3 * j + 2] : z);
    pen.strokeStyle = colours.shadow;
    for (const [a, b] of bones) { const p = at(a, clip.floor), q = at(b, clip.floor); pen.lineWidth = 0.05 * p[3]; line(pen, p, q); }
    const parts = bones.filter(([a, b]) => !(a === NOSE && b === HEAD)).map(([a, b]) => ({ a: at(a), b: at(b), side: sides[b] }));
    parts.sort((u, v) => v.a[2] + v.b[2] - u.a[2] - u.b[2]);
    const depth = at(PELVIS)[2];
    for (const { a, b, side } of parts) {
      pen.globalAlpha = Math.max(0.45, Math.min(1, 1 - ((a[2] + b[2]) / 2 - depth) * 0.7));
      pen.strokeStyle = colours[side];
      pen.lineWidth = 0.036 * (a[3] + b[3]) / 2;
      line(pen, a, b);
    }
    const nose = at(NOSE), head = at(HEAD);
    pen.globalAlpha = 1;
    pen.fillStyle = colours.middle;
    pen.beginPath();
    pen.arc((nose[0] + head[0]) / 2, (nose[1] + head[1]) / 2, 0.095 * head[3], 0, 2 * Math.PI);
    pen.fill();
    for (let j = 0; j < JOINTS; j++) {
      if (j === NOSE || j === HEAD) continue;
      const p = at(j);
      pen.fillStyle = colours[sides[j]];
      pen.beginPath();
      pen.arc(p[0], p[1], 0.026 * p[3], 0, 2 * Math.PI);
      pen.fill();
    }
  };

  // A clip that stays in place is fitted whole; in one that travels, the window goes along with the person.
  const frameOf = (view, width, height, t) => {
    const { low, high } = view.box, edge = 22, tall = high[1] - low[1];
    const wide = Math.min(high[0] - low[0], Math.max(1.1 * tall * width / height, 0.5));
    const fit = Math.min((width - 2 * edge) / wide, (height - 2 * edge) / tall);
    const half = Math.max(wide / 2, 0), pelvis = view.path[t];
    const middle = Math.max(low[0] + half, Math.min(high[0] - half, pelvis));
    return { fit, x: (u) => width / 2 + (u - middle) * fit, y: (v) => height / 2 + (v - (low[1] + high[1]) / 2) * fit };
  };

  const drawGrid = (pen, width, height, { fit, x, y }) => {
    const every = [1, 2, 5, 10].find((n) => n * 0.1 * fit >= 34) || 10;
    pen.lineWidth = 1;
    pen.font = "10px sans-serif";
    pen.fillStyle = colours.soft;
    for (let k = -200; k <= 200; k++) {
      const u = k / 10;
      pen.strokeStyle = k === 0 ? colours.floor : colours.grid;
      if (x(u) >= 0 && x(u) <= width) line(pen, [x(u), 0], [x(u), height]);
      if (y(u) >= 0 && y(u) <= height) line(pen, [0, y(u)], [width, y(u)]);
      if (k % every === 0 && x(u) > 4 && x(u) < width - 26) pen.fillText(u.toFixed(1), x(u) + 2, height - 4);
    }
  };

  const drawFlat = (canvas, view, t) => {
    const { pen, width, height } = prepare(canvas);
    if (!view) return;
    const frame = frameOf(view, width, height, t), { fit, x, y } = frame, base = 2 * JOINTS * t;
    drawGrid(pen, width, height, frame);
    const at = (j) => [x(view.points[base + 2 * j]), y(view.points[base + 2 * j + 1])];
    pen.lineWidth = Math.max(2, 0.008 * fit);
    for (const [a, b] of bones) { pen.strokeStyle = colours[sides[b]]; line(pen, at(a), at(b)); }
    for (let j = 0; j < JOINTS; j++) {
      pen.fillStyle = colours[sides[j]];
      pen.beginPath();
      pen.arc(...at(j), Math.max(2.2, 0.008 * fit), 0, 2 * Math.PI);
      pen.fill();
    }
  };

  const phase = (t) => {
    if (!clip.borders) return clip.label;
    const [a, b] = clip.borders;
    const now = t < a ? `A: ${clip.texts[0]}` : t < b ? "the transition itself" : `B: ${clip.texts[1]}`;
    return `${clip.label} — now ${now}`;
  };

  const draw = () => {
    const t = Math.min(clip.frames - 1, Math.floor(time));
    slider.value = t;
    byId("clock").textContent = `${(t / fps).toFixed(2)} s · ${t + 1}/${clip.frames}`;
    byId("phase").textContent = phase(t);
    drawSpace(t);
    flats.forEach((canvas, k) => drawFlat(canvas, clip.views[k], t));
  };

  const tick = (now) => {
    if (!playing) { before = null; return; }
    if (before !== null) {
      time += Math.min(now - before, 100) / 1000 * fps;
      if (time >= clip.frames + fps / 3) time = 0; // rest a moment on the last frame
    }
    before = now;
    draw();
    requestAnimationFrame(tick);
  };

  // --- hands --------------------------------------------------------------------------------

  const setPlaying = (on) => {
    playing = on;
    play.textContent = on ? "Pause" : "Play";
    if (on) requestAnimationFrame(tick);
  };
  const redraw = () => { if (!playing) draw(); };
  play.addEventListener("click", () => {
    if (!playing && time >= clip.frames - 1) time = 0;
    setPlaying(!playing);
  });
  slider.addEventListener("input", () => { setPlaying(false); time = Number(slider.value); draw(); });
  pick.addEventListener("change", () => open(Number(pick.value)));
  let hand = null;
  space.addEventListener("pointerdown", (event) => { hand = [event.clientX, event.clientY]; space.setPointerCapture(event.pointerId); });
  space.addEventListener("pointermove", (event) => {
    if (!hand) return;
    azimuth -= (event.clientX - hand[0]) * 0.01;
    elevation = Math.max(-0.1, Math.min(1.5, elevation + (event.clientY - hand[1]) * 0.01));
    hand = [event.clientX, event.clientY];
    redraw();
  });
  for (const end of ["pointerup", "pointercancel"]) space.addEventListener(end, () => { hand = null; });
  space.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey) return; // plain scrolling stays the page's
    event.preventDefault();
    distance = Math.max(2, Math.min(12, distance * Math.exp(0.002 * (event.deltaY || event.deltaX))));
    redraw();
  }, { passive: false });
  space.addEventListener("dblclick", () => { const t = time; open(Number(pick.value)); time = t; redraw(); });
  space.addEventListener("keydown", (event) => {
    const turn = { ArrowLeft: 0.15, ArrowRight: -0.15 }[event.key];
    if (turn) { azimuth += turn; event.preventDefault(); redraw(); }
    if (event.key === " ") { event.preventDefault(); play.click(); }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); draw(); });
  new ResizeObserver(() => { if (clip) draw(); }).observe(space);

  readColours();
  open(0);
  setPlaying(playing);
})();
