// Points and camera frusta in plain WebGL: two shaders and an orbit camera need no library in every report.
// World: z up, the model's radius is 1.
(() => {
  const canvas = document.getElementById("scene");
  const gl = canvas.getContext("webgl", { antialias: true });
  document.documentElement.dataset.viewer = gl ? "ready" : "unavailable";
  if (!gl) {
    document.getElementById("no-webgl").hidden = false;
    return;
  }
  const FIELD_OF_VIEW = 0.9;
  const POINT_SHADER = `
    attribute vec3 position; attribute vec3 colour;
    uniform mat4 clip_from_world; uniform float extent; uniform float size;
    varying vec3 tint;
    void main() {
      gl_Position = clip_from_world * vec4((position * 2.0 - 1.0) * extent, 1.0);
      gl_PointSize = clamp(size / gl_Position.w, 1.0, 24.0);
      tint = colour;
    }`;
  const POINT_COLOUR = `
    precision mediump float; varying vec3 tint;
    void main() {
      vec2 offset = gl_PointCoord - 0.5;
      if (dot(offset, offset) > 0.25) discard;
      gl_FragColor = vec4(tint, 1.0);
    }`;
  const LINE_SHADER = `
    attribute vec3 centre; attribute vec3 offset;
    uniform mat4 clip_from_world; uniform float size;
    void main() { gl_Position = clip_from_world * vec4(centre + size * offset, 1.0); }`;
  const LINE_COLOUR = `
    precision mediump float; uniform vec4 colour;
    void main() { gl_FragColor = colour; }`;

  function program(vertex, fragment) {
    const made = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(made, shader);
    }
    gl.linkProgram(made);
    if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
    return made;
  }
  const pointProgram = program(POINT_SHADER, POINT_COLOUR);
  const lineProgram = program(LINE_SHADER, LINE_COLOUR);

  function buffer(values) {
    const made = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, made);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    return made;
  }
  const bytes = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  const LINES = [0, 1, 0, 2, 0, 3, 0, 4, 1, 2, 2, 3, 3, 4, 4, 1]; // 0 is the centre, 1 to 4 are the corners

  function load(model) {
    const count = model.photos.length, centres = [], offsets = [];
    for (let i = 0; i < count; i++) {
      for (const end of LINES) {
        centres.push(...model.centres.slice(3 * i, 3 * i + 3));
        const at = 12 * i + 3 * (end - 1);
        offsets.push(...(end ? model.corners.slice(at, at + 3) : [0, 0, 0]));
      }
    }
    return {
      ...model,
      positionBuffer: buffer(bytes(model.positions)),
      colourBuffer: buffer(bytes(model.colours)),
      centreBuffer: buffer(new Float32Array(centres)),
      offsetBuffer: buffer(new Float32Array(offsets)),
      cameraSize: frustumSize(model),
    };
  }
  // A third of the median distance to the nearest other camera.
  function frustumSize(model) {
    const nearest = model.photos.map((_, i) => {
      let best = Infinity;
      for (let j = 0; j < model.photos.length; j++) {
        if (j !== i) best = Math.min(best, distance2(model.centres, 3 * i, model.centres, 3 * j));
      }
      return Math.sqrt(best);
    }).sort((a, b) => a - b);
    const middle = nearest[nearest.length >> 1];
    return Math.min(Math.max(0.35 * (Number.isFinite(middle) ? middle : 0.1), 0.012), 0.14);
  }
  const distance2 = (a, i, b, j) => (a[i] - b[j]) ** 2 + (a[i + 1] - b[j + 1]) ** 2 + (a[i + 2] - b[j + 2]) ** 2;

  const loaded = data.models.map(() => null);
  const orbit = {};
  let model, hovered = -1, chosen = -1, clipFromWorld, pending = false;
  const slider = (id) => Number(document.getElementById(id).value);

  function show(index) {
    loaded[index] = loaded[index] || load(data.models[index]);
    model = loaded[index];
    hovered = chosen = -1;
    [...document.getElementById("model-buttons").children].forEach((b, i) => b.classList.toggle("on", i === index));
    reset();
  }
  function reset() {
    // From the cameras' side, a little above, far enough to see them nearly all.
    const count = model.photos.length, mean = [0, 0, 0];
    model.centres.forEach((value, i) => { mean[i % 3] += value / count; });
    const [x, y, z] = mean.map((value) => 0.4 * value);
    const azimuth = Math.atan2(mean[1], mean[0]) + 0.35;
    Object.assign(orbit, { x, y, z, azimuth, elevation: 0.42, distance: 1.8 });
    const aspect = canvas.clientWidth / Math.max(canvas.clientHeight, 1);
    const inside = (m) => model.photos.filter((_, i) => {
      const [u, v, w] = clip(m, model.centres.slice(3 * i, 3 * i + 3));
      return w > 0 && Math.abs(u) < 0.9 * w && Math.abs(v) < 0.85 * w;
    }).length;
    while (orbit.distance < 7 && inside(project(aspect)) < 0.95 * count) orbit.distance *= 1.08;
    orbit.distance = Math.max(orbit.distance, 2.4);
    draw();
  }
  const clip = (m, p) => [0, 1, 3].map((row) => m[row] * p[0] + m[row + 4] * p[1] + m[row + 8] * p[2] + m[row + 12]);

  function axes() {
    const ca = Math.cos(orbit.azimuth), sa = Math.sin(orbit.azimuth);
    const ce = Math.cos(orbit.elevation), se = Math.sin(orbit.elevation);
    return { right: [-sa, ca, 0], up: [-se * ca, -se * sa, ce], back: [ce * ca, ce * sa, se] };
  }
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

  function project(aspect) {
    const { right, up, back } = axes(), d = orbit.distance;
    const eye = [orbit.x + d * back[0], orbit.y + d * back[1], orbit.z + d * back[2]];
    const f = 1 / Math.tan(FIELD_OF_VIEW / 2), near = 0.005 * Math.max(d, 0.2), far = d + 40;
    const a = (far + near) / (near - far), b = (2 * far * near) / (near - far);
    const rows = [right, up, back].map((axis) => [...axis, -dot(axis, eye)]);
    const out = new Float32Array(16); // column by column
    for (let c = 0; c < 4; c++) {
      out[4 * c] = (f / aspect) * rows[0][c];
      out[4 * c + 1] = f * rows[1][c];
      out[4 * c + 2] = a * rows[2][c] + (c === 3 ? b : 0);
      out[4 * c + 3] = -rows[2][c];
    }
    return out;
  }
  function attribute(made, name, source, kind, normalised) {
    const at = gl.getAttribLocation(made, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, source);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, 3, kind, normalised, 0, 0);
  }
  const uniform = (made, name) => gl.getUniformLocation(made, name);

  function draw() {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      paint();
    });
  }
  function paint() {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.max(1, canvas.clientWidth * ratio);
    canvas.height = Math.max(1, canvas.clientHeight * ratio);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    clipFromWorld = project(canvas.width / canvas.height);
    paintPoints();
    paintCameras();
  }
  function paintPoints() {
    const density = Math.min(Math.max(Math.sqrt(20000 / Math.max(model.count, 1)), 0.5), 3);
    gl.useProgram(pointProgram);
    gl.uniformMatrix4fv(uniform(pointProgram, "clip_from_world"), false, clipFromWorld);
    gl.uniform1f(uniform(pointProgram, "extent"), model.extent);
    gl.uniform1f(uniform(pointProgram, "size"), slider("point-size") * density * 0.009 * canvas.height);
    attribute(pointProgram, "position", model.positionBuffer, gl.UNSIGNED_SHORT, true);
    attribute(pointProgram, "colour", model.colourBuffer, gl.UNSIGNED_BYTE, true);
    gl.drawArrays(gl.POINTS, 0, model.count);
  }
  function paintCameras() {
    const size = slider("camera-size") * model.cameraSize;
    gl.useProgram(lineProgram);
    gl.uniformMatrix4fv(uniform(lineProgram, "clip_from_world"), false, clipFromWorld);
    attribute(lineProgram, "centre", model.centreBuffer, gl.FLOAT, false);
    attribute(lineProgram, "offset", model.offsetBuffer, gl.FLOAT, false);
    const lines = (first, count, colour, scale) => {
      gl.uniform4fv(uniform(lineProgram, "colour"), colour);
      gl.uniform1f(uniform(lineProgram, "size"), size * scale);
      gl.drawArrays(gl.LINES, LINES.length * first, LINES.length * count);
    };
    lines(0, model.photos.length, [0.43, 0.62, 1, 1], 1);
    gl.disable(gl.DEPTH_TEST);
    for (const camera of new Set([hovered, chosen])) {
      if (camera >= 0) [1, 1.01, 1.02].forEach((scale) => lines(camera, 1, [1, 0.66, 0.2, 1], 1.35 * scale));
    }
  }

  function cameraAt(x, y) {
    let best = 18 ** 2, found = -1;
    for (let i = 0; i < model.photos.length; i++) {
      const [a, b, w] = clip(clipFromWorld, model.centres.slice(3 * i, 3 * i + 3));
      if (w <= 0) continue;
      const u = (a / w + 1) * canvas.clientWidth / 2, v = (1 - b / w) * canvas.clientHeight / 2;
      const near = (u - x) ** 2 + (v - y) ** 2;
      if (near < best) { best = near; found = i; }
    }
    return found;
  }
  function describe() {
    const camera = hovered >= 0 ? hovered : chosen;
    const figure = document.getElementById("hover");
    figure.hidden = camera < 0 || model.photos[camera] < 0;
    if (figure.hidden) return;
    const photo = model.photos[camera];
    const picture = document.querySelector("#photo-" + photo + " img");
    figure.querySelector("img").hidden = !picture;
    if (picture) figure.querySelector("img").src = picture.src;
    figure.querySelector("b").textContent = data.names[photo];
    figure.querySelector("span").textContent = data.facts[photo];
  }
  function lookThrough(camera) {
    const corner = (k) => model.corners.slice(12 * camera + 3 * k, 12 * camera + 3 * k + 3);
    const ahead = [0, 1, 2].map((axis) => (corner(0)[axis] + corner(2)[axis]) / 2);
    const length = Math.hypot(...ahead), centre = model.centres.slice(3 * camera, 3 * camera + 3);
    const reach = Math.max(Math.hypot(...centre), 0.3);
    const [x, y, z] = ahead.map((value, axis) => centre[axis] + (reach * value) / length);
    orbit.azimuth = Math.atan2(-ahead[1], -ahead[0]);
    orbit.elevation = Math.asin(Math.min(Math.max(-ahead[2] / length, -1), 1));
    Object.assign(orbit, { x, y, z, distance: reach });
    draw();
  }

  const turn = (dx, dy) => {
    orbit.azimuth -= dx * 0.006;
    orbit.elevation = Math.min(Math.max(orbit.elevation + dy * 0.006, -1.56), 1.56);
  };
  const move = (dx, dy) => {
    const { right, up } = axes();
    const step = (2 * Math.tan(FIELD_OF_VIEW / 2) * orbit.distance) / canvas.clientHeight;
    ["x", "y", "z"].forEach((key, axis) => { orbit[key] += step * (dy * up[axis] - dx * right[axis]); });
  };
  const zoom = (factor) => { orbit.distance = Math.min(Math.max(orbit.distance * factor, 0.02), 40); };

  const fingers = new Map();
  let travelled = 0;
  const spread = () => {
    const [a, b] = [...fingers.values()];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, size: Math.hypot(a.x - b.x, a.y - b.y) };
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    travelled = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = fingers.get(event.pointerId), here = { x: event.offsetX, y: event.offsetY };
    if (!last) {
      const camera = cameraAt(here.x, here.y);
      if (camera !== hovered) { hovered = camera; describe(); draw(); }
      return;
    }
    const before = fingers.size === 2 ? spread() : null;
    fingers.set(event.pointerId, here);
    travelled += Math.abs(here.x - last.x) + Math.abs(here.y - last.y);
    if (before) {
      const after = spread();
      move(after.x - before.x, after.y - before.y);
      zoom(before.size / Math.max(after.size, 1));
    } else if (event.shiftKey || event.buttons & 6) move(here.x - last.x, here.y - last.y);
    else turn(here.x - last.x, here.y - last.y);
    draw();
  });
  const release = (event) => fingers.delete(event.pointerId);
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => { hovered = -1; describe(); draw(); });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(Math.min(Math.max(event.deltaY, -120), 120) * 0.0016));
    draw();
  }, { passive: false });
  canvas.addEventListener("click", (event) => {
    if (travelled > 4) return;
    chosen = cameraAt(event.offsetX, event.offsetY);
    describe();
    draw();
    choose(chosen < 0 ? -1 : model.photos[chosen], "viewer");
  });
  canvas.addEventListener("dblclick", (event) => {
    const camera = cameraAt(event.offsetX, event.offsetY);
    if (camera >= 0) lookThrough(camera);
  });
  canvas.addEventListener("keydown", (event) => {
    const act = {
      ArrowLeft: () => turn(-20, 0), ArrowRight: () => turn(20, 0), ArrowUp: () => turn(0, 20),
      ArrowDown: () => turn(0, -20), "+": () => zoom(0.9), "-": () => zoom(1.1),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
    draw();
  });
  document.addEventListener("photo", ({ detail }) => {
    if (detail.from === "viewer") return;
    const index = data.models.findIndex((m) => m.photos.includes(detail.photo));
    if (index < 0) return;
    if (model !== loaded[index]) show(index);
    chosen = model.photos.indexOf(detail.photo);
    describe();
    draw();
  });
  if (data.models.length > 1) {
    data.models.forEach((m, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Model " + index + " (" + m.photos.length + ")";
      button.addEventListener("click", () => show(index));
      document.getElementById("model-buttons").append(button);
    });
  }
  for (const id of ["point-size", "camera-size"]) document.getElementById(id).addEventListener("input", draw);
  document.getElementById("reset").addEventListener("click", reset);
  new ResizeObserver(draw).observe(canvas);
  show(0);
})();
