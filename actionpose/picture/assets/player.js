// The player: skeletons turned by hand in 3D, flat views beside them, labels and errors over time. One for each .player.
"use strict";
for (const root of document.querySelectorAll(".player")) {
  const { clips, bones, left, right, grid } = JSON.parse(root.querySelector("script").textContent);
  const JOINTS = 17, PELVIS = 0, NOSE = 9, HEAD = 10, FRONT = -Math.PI / 2, UNKNOWN = -32768, LABEL_COLOURS = 6;
  const part = (name) => root.querySelector("." + name);
  const space = part("space"), pick = part("pick"), play = part("play"), slider = part("slider"), track = part("track");
  const flats = [...root.querySelectorAll(".flat canvas")];
  const sides = Array.from({ length: JOINTS }, (_, j) => (left.includes(j) ? "left" : right.includes(j) ? "right" : "middle"));
  let clip, time = 0, playing = !matchMedia("(prefers-reduced-motion: reduce)").matches, before = null;
  let azimuth, elevation, zoom;
  const colours = {};

  const readColours = () => {
    const style = getComputedStyle(document.documentElement);
    const names = ["left", "right", "middle", "floor", "shadow", "grid", "ink", "soft", "hair", "stage", "ghost"];
    for (const name of [...names, "s0", "s1", "s2", "s3", "s4", "s5"]) colours[name] = style.getPropertyValue("--" + name).trim();
  };

  // --- a clip's numbers ---------------------------------------------------------------------

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  // Millimetres as int16; what is not known is NaN.
  const metres = (text) => {
    const view = new DataView(bytes(text).buffer), points = new Float32Array(view.byteLength / 2);
    for (let i = 0; i < points.length; i++) {
      const value = view.getInt16(2 * i, true);
      points[i] = value === UNKNOWN ? NaN : value / 1000;
    }
    return points;
  };

  const person = (source, size) => ({
    ...source, size, points: metres(source.data), filled: source.filled ? bytes(source.filled) : null,
  });

  // What a level camera sees of a person, from afar.
  const project = (of, { name, camera }) => {
    const points = new Float32Array((of.points.length / 3) * 2);
    for (let i = 0; i < points.length / 2; i++) {
      for (let k = 0; k < 2; k++) {
        points[2 * i + k] = camera[k][0] * of.points[3 * i] + camera[k][1] * of.points[3 * i + 1] + camera[k][2] * of.points[3 * i + 2];
      }
    }
    return { name, size: 2, points, filled: of.filled, ghost: of.ghost };
  };

  // A slow average of everybody's pelvis, so that steps and bounces stay visible.
  const smooth = (people, frames, fps) => {
    const reach = Math.max(1, Math.round(fps / 2)), path = [];
    for (let t = 0; t < frames; t++) {
      const sum = [0, 0];
      let n = 0;
      for (let s = Math.max(0, t - reach); s <= Math.min(frames - 1, t + reach); s++) {
        for (const { points, size } of people) {
          const i = size * (JOINTS * s + PELVIS);
          if (Number.isNaN(points[i])) continue;
          sum[0] += points[i]; sum[1] += points[i + 1]; n += 1;
        }
      }
      path.push(n ? [sum[0] / n, sum[1] / n] : path[t - 1] || [0, 0]);
    }
    return path;
  };

  // How far the figure reaches from the followed place: to a side, lowest and highest.
  const reachOf = (people, path, frames) => {
    let side = 0.3, low = Infinity, high = -Infinity;
    for (const { points, size } of people) {
      for (let t = 0; t < frames; t++) {
        for (let j = 0; j < JOINTS; j++) {
          const i = size * (JOINTS * t + j), x = points[i] - path[t][0];
          if (Number.isNaN(x)) continue;
          side = Math.max(side, size === 3 ? Math.hypot(x, points[i + 1] - path[t][1]) : Math.abs(x));
          const y = size === 3 ? points[i + 2] : points[i + 1];
          low = Math.min(low, y); high = Math.max(high, y);
        }
      }
    }
    return low <= high ? { side, low, high } : { side, low: 0, high: 1.7 };
  };

  const prepareClip = (source) => {
    source.people = source.people.map((p) => person(p, 3));
    source.path = smooth(source.people, source.frames, source.fps);
    source.reach = reachOf(source.people, source.path, source.frames);
    source.flats = source.flats.map((flat) => {
      const layers = flat.camera ? source.people.map((p) => project(p, flat)) : [person(flat, 2)];
      const path = smooth(layers, source.frames, source.fps);
      return { name: flat.name, layers, path, reach: reachOf(layers, path, source.frames), grid: flat.camera ? grid : null };
    });
    source.ready = true;
  };

  const open = (index) => {
    clip = clips[index];
    if (!clip.ready) prepareClip(clip);
    time = 0;
    slider.max = clip.frames - 1;
    azimuth = clip.heading + FRONT + 0.55; // in front, a little to the person's left
    elevation = 0.16;
    zoom = 1;
    showLabels();
    part("about").textContent = clip.about;
    root.querySelectorAll(".hollow").forEach((legend) => { legend.hidden = !clip.people.some((p) => p.filled); });
    root.querySelectorAll(".ghost").forEach((legend) => { legend.hidden = !clip.people.some((p) => p.ghost); });
    flats.forEach((canvas, k) => {
      canvas.parentElement.hidden = !clip.flats[k];
      canvas.parentElement.querySelector("span").textContent = clip.flats[k] ? clip.flats[k].name : "";
    });
    track.hidden = !clip.values;
    part("values").replaceChildren(...(clip.values || []).map(({ name }, k) => {
      const key = document.createElement("span"), swatch = document.createElement("i");
      key.className = "key";
      swatch.className = "swatch s" + k;
      key.append(swatch, name);
      return key;
    }));
    draw();
  };

  const showLabels = () => {
    const texts = [...new Set(clip.labels.map(({ text }) => text))];
    part("bands").replaceChildren(...clip.labels.map(({ from, to, text }) => {
      const band = document.createElement("button");
      band.type = "button";
      band.tabIndex = -1;
      band.title = text;
      band.textContent = text;
      band.className = "band b" + (texts.indexOf(text) % LABEL_COLOURS);
      band.style.left = (100 * Math.max(0, from)) / clip.frames + "%";
      band.style.width = (100 * (Math.min(to, clip.frames) - Math.max(0, from))) / clip.frames + "%";
      band.addEventListener("click", () => { time = Math.max(0, from); draw(); });
      return band;
    }));
    part("bands").hidden = !clip.labels.length;
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
    pen.lineJoin = "round";
    return { pen, width, height };
  };

  // Perspective camera that circles the followed point; near enough that the whole figure fills the canvas.
  const makeCamera = (width, height, t) => {
    const { side, low, high } = clip.reach, [tx, ty] = clip.path[t];
    const floor = Math.min(low, clip.floor), tz = (floor + high) / 2 + 0.05, focal = 1.75 * Math.min(width, height);
    const fit = Math.max((focal * (high - floor + 0.4)) / height, (focal * 2 * (side + 0.1)) / width);
    const distance = Math.max(2.2, fit + 0.5 * side) / zoom;
    const ca = Math.cos(azimuth), sa = Math.sin(azimuth), ce = Math.cos(elevation), se = Math.sin(elevation);
    return (x, y, z) => {
      const dx = x - tx, dy = y - ty, dz = z - tz;
      const away = distance - (dx * ca + dy * sa) * ce - dz * se;
      const across = -dx * sa + dy * ca, up = dz * ce - (dx * ca + dy * sa) * se;
      const size = focal / Math.max(away, 0.2);
      return [width / 2 + across * size, height / 2 - up * size, away, size];
    };
  };

  // A line without length is not drawn: a spot is a very short one.
  const line = (pen, a, b) => { pen.beginPath(); pen.moveTo(a[0], a[1]); pen.lineTo(b[0] + 0.01, b[1]); pen.stroke(); };

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
    for (const [x, y] of clip.path) {
      const p = camera(x, y, z);
      if (p[2] > 0.5) pen.lineTo(p[0], p[1]);
    }
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  };

  // A pose, far limbs first, each with an edge in the background's colour; hollow where it was completed.
  const drawPose = (pen, at, { filled, ghost }, t, depth) => {
    const places = Array.from({ length: JOINTS }, (_, j) => at(j));
    const hollow = (j) => filled && filled[JOINTS * t + j];
    const thin = ghost ? 0.55 : 1;
    const known = (p) => !Number.isNaN(p[0]);
    const parts = [];
    for (const [a, b] of bones) {
      if (a === NOSE && b === HEAD) continue;
      const [p, q] = [places[a], places[b]];
      if (known(p) && known(q)) parts.push({ p, q, away: (p[2] + q[2]) / 2, width: 0.052 * thin, side: sides[b], open: hollow(a) || hollow(b), edge: true });
    }
    for (let j = 0; j < JOINTS; j++) {
      const p = places[j];
      if (j === NOSE || j === HEAD || !known(p)) continue;
      const near = parts.filter((limb) => limb.edge && (limb.p === p || limb.q === p)).map((limb) => limb.away);
      parts.push({ p, q: p, away: Math.min(p[2], ...near) - 1e-3, width: 0.062 * thin, side: sides[j], open: hollow(j) });
    }
    const [n, h] = [places[NOSE], places[HEAD]];
    if (known(n) && known(h)) {
      const middle = n.map((value, k) => (value + h[k]) / 2);
      parts.push({ p: middle, q: middle, away: middle[2], width: 0.2 * (ghost ? 0.8 : 1), side: "middle", open: ghost || hollow(NOSE) || hollow(HEAD), edge: !ghost });
    }
    parts.sort((u, v) => v.away - u.away);
    for (const { p, q, away, width, side, open: isOpen, edge } of parts) {
      const size = (p[3] + q[3]) / 2, wide = width * size;
      pen.globalAlpha = 1;
      if (edge) {
        const length = Math.hypot(q[0] - p[0], q[1] - p[1]), inside = length ? Math.min((wide / 2 + 0.018 * size) / length, 0.5) : 0;
        const mix = (s) => [p[0] + s * (q[0] - p[0]), p[1] + s * (q[1] - p[1])];
        pen.strokeStyle = colours.stage;
        pen.lineWidth = wide + 0.036 * size;
        line(pen, mix(inside), mix(1 - inside));
      }
      pen.strokeStyle = colours.stage;
      pen.lineWidth = wide;
      line(pen, p, q);
      pen.globalAlpha = Math.max(0.5, Math.min(1, 1 - (away - depth) * 0.8));
      pen.strokeStyle = ghost ? colours.ghost : colours[side];
      line(pen, p, q);
      pen.globalAlpha = 1;
      if (isOpen) { pen.strokeStyle = colours.stage; pen.lineWidth = 0.55 * wide; line(pen, p, q); }
    }
  };

  const drawSpace = (t) => {
    const { pen, width, height } = prepare(space);
    const camera = makeCamera(width, height, t);
    drawFloor(pen, camera, t);
    const place = ({ points }) => (j, z) => {
      const i = 3 * (JOINTS * t + j);
      return camera(points[i], points[i + 1], z === undefined ? points[i + 2] : z);
    };
    pen.strokeStyle = colours.shadow;
    for (const shadow of clip.people.filter((one) => !one.ghost).map(place)) {
      for (const [a, b] of bones) {
        const p = shadow(a, clip.floor), q = shadow(b, clip.floor);
        if (Number.isNaN(p[0] + q[0])) continue;
        pen.lineWidth = 0.05 * p[3];
        line(pen, p, q);
      }
    }
    const depth = camera(...clip.path[t], (clip.reach.low + clip.reach.high) / 2)[2];
    for (const one of [...clip.people].sort((a, b) => b.ghost - a.ghost)) drawPose(pen, place(one), one, t, depth);
    const named = clip.people.filter((one) => !one.ghost && one.name);
    if (named.length > 1) for (const one of named) drawName(pen, place(one), one.name);
  };

  const drawName = (pen, at, name) => {
    const below = at(PELVIS, clip.floor);
    if (Number.isNaN(below[0])) return;
    pen.fillStyle = colours.ink;
    pen.font = "600 14px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.fillText(name, below[0], Math.min(below[1] + 0.2 * below[3] + 12, space.clientHeight - 10));
  };

  const drawGrid = (pen, width, height, scale, x, y) => {
    const fit = scale / grid, every = [1, 2, 5, 10].find((n) => n * 0.1 * fit >= 34) || 10;
    pen.lineWidth = 1;
    pen.font = "10px sans-serif";
    pen.fillStyle = colours.soft;
    for (let k = -100; k <= 100; k++) {
      const u = k / 10;
      pen.strokeStyle = k === 0 ? colours.floor : colours.grid;
      if (x(u / grid) >= 0 && x(u / grid) <= width) line(pen, [x(u / grid), 0], [x(u / grid), height]);
      if (y(u / grid) >= 0 && y(u / grid) <= height) line(pen, [0, y(u / grid)], [width, y(u / grid)]);
      if (k % every === 0 && x(u / grid) > 4 && x(u / grid) < width - 26) pen.fillText(u.toFixed(1), x(u / grid) + 2, height - 4);
    }
  };

  const drawFlat = (canvas, flat, t) => {
    if (!flat) return;
    const { pen, width, height } = prepare(canvas), { side, low, high } = flat.reach, [cx] = flat.path[t];
    const scale = Math.min(width / (2 * side + 0.3), height / (high - low + 0.55)), middle = (low + high) / 2 - 0.03;
    if (flat.grid) {
      const centre = flat.path[0]; // the grid stays where the picture is
      drawGrid(pen, width, height, scale, (u) => width / 2 + (u + centre[0] - cx) * scale, (v) => height / 2 + (v + centre[1] - middle) * scale);
    }
    for (const layer of [...flat.layers].sort((a, b) => b.ghost - a.ghost)) {
      const at = (j) => {
        const i = 2 * (JOINTS * t + j);
        return [width / 2 + (layer.points[i] - cx) * scale, height / 2 + (layer.points[i + 1] - middle) * scale, 0, scale];
      };
      drawPose(pen, at, layer, t, 0);
    }
  };

  // Numbers over time, such as errors, with the frame that is shown.
  const drawTrack = (t) => {
    if (!clip.values) return;
    const { pen, width, height } = prepare(track), last = Math.max(1, clip.frames - 1), top = 16;
    const most = Math.max(1e-9, ...clip.values.flatMap(({ data }) => data.filter((v) => v !== null)));
    const x = (s) => (s / last) * (width - 2) + 1, y = (v) => height - 3 - (v / most) * (height - top - 5);
    pen.strokeStyle = colours.hair;
    pen.lineWidth = 1;
    for (const v of [0, most]) line(pen, [0, y(v)], [width, y(v)]);
    pen.font = "11px sans-serif";
    pen.fillStyle = colours.soft;
    pen.fillText(`${most.toFixed(0)} ${clip.unit}`, 2, top - 4);
    clip.values.forEach(({ data }, k) => {
      pen.strokeStyle = colours["s" + k];
      pen.lineWidth = 1.8;
      pen.beginPath();
      let on = false;
      data.forEach((v, s) => { if (v === null) on = false; else { if (on) pen.lineTo(x(s), y(v)); else pen.moveTo(x(s), y(v)); on = true; } });
      pen.stroke();
    });
    pen.strokeStyle = colours.ink;
    line(pen, [x(t), 2], [x(t), height - 2]);
  };

  const draw = () => {
    const t = Math.min(clip.frames - 1, Math.floor(time));
    slider.value = t;
    part("clock").textContent = `${(clip.first_s + t / clip.fps).toFixed(2)} s · ${t + 1}/${clip.frames}`;
    const label = clip.labels.find(({ from, to }) => from <= t && t < to);
    const numbers = (clip.values || []).map(({ name, data }) => (data[t] === null ? "" : `${name} ${data[t].toFixed(0)} ${clip.unit}`));
    const now = numbers.filter(Boolean).join(", ");
    const shown = label ? label.text : clip.labels.length && !now ? "" : clip.title;
    part("phase").textContent = now ? `${shown} · now ${now}` : shown;
    [...part("bands").children].forEach((band, k) => band.classList.toggle("now", clip.labels[k] === label));
    drawSpace(t);
    flats.forEach((canvas, k) => drawFlat(canvas, clip.flats[k], t));
    drawTrack(t);
  };

  const tick = (now) => {
    if (!playing) { before = null; return; }
    if (before !== null) {
      time += (Math.min(now - before, 100) / 1000) * clip.fps;
      if (time >= clip.frames + clip.fps / 3) time = 0; // rest a moment on the last frame
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
    zoom = Math.max(0.4, Math.min(3, zoom * Math.exp(-0.002 * (event.deltaY || event.deltaX))));
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
}
