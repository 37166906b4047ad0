"use strict";
// What a learned family does to images, computed as itn.nn does: heads, matrices, colors, sampling.

const itnFamily = {
  // Parameters of one part at k: two layers without biases, and a tanh that bounds them
  parameters(part, k) {
    const hidden = part.hidden.map((row) => Math.max(0, row[0] * k[0] + row[1] * k[1]));
    return part.output.map((row, i) => {
      let raw = row.reduce((sum, weight, j) => sum + weight * hidden[j], 0);
      if (part.nonnegative) raw = Math.max(0, raw);
      return part.bound[i] * Math.tanh(raw / part.bound[i]);
    });
  },

  // Entries of the matrix minus the identity, row by row
  deviation(part, k) {
    const p = itnFamily.parameters(part, k);
    if (part.rotation) {
      const diagonal = -2 * Math.sin(p[0] / 2) ** 2, sine = Math.sin(p[0]);
      return [diagonal, sine / part.aspect, 0, -sine * part.aspect, diagonal, 0];
    }
    return part.linear.map((row) => row.reduce((sum, weight, j) => sum + weight * p[j], 0));
  },

  // Every pixel through the color matrix, clamped; pixels are floats in [0, 1], channel after channel
  color(pixels, channels, deviation) {
    const n = pixels.length / channels, out = new Float64Array(pixels.length), width = channels + 1;
    for (let c = 0; c < channels; c++) {
      const row = deviation.slice(c * width, (c + 1) * width);
      for (let i = 0; i < n; i++) {
        let change = row[channels];
        for (let d = 0; d < channels; d++) change += row[d] * pixels[d * n + i];
        out[c * n + i] = Math.min(1, Math.max(0, pixels[c * n + i] + change));
      }
    }
    return out;
  },

  // Weights of the four pixels around a position, t beyond the second, as torch.nn.functional.grid_sample has them
  cubic(t) {
    const a = -0.75, near = (x) => ((a + 2) * x - (a + 3)) * x * x + 1, far = (x) => ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
    return [far(1 + t), near(t), near(1 - t), far(2 - t)];
  },

  // The crop of an image, sampled where the matrix says; what the padding is begins where the box ends
  warp(pixels, image, deviation, padding, interpolation) {
    const {width: W, height: H, channels, crop, box} = image, [top, left, height, width] = crop;
    const [x0, y0, x1, y1] = box, n = W * H, out = new Float64Array(channels * width * height);
    const bicubic = interpolation === "bicubic", first = bicubic ? -1 : 0;
    const fold = (position, low, high) => {
      if (padding === "reflection") {
        const span = high - low, period = 2 * span;
        position = high - Math.abs((((position - low) % period) + period) % period - span);
      }
      return Math.min(Math.max(position, low + 0.5), high - 0.5);
    };
    const [a, b, tx, c, d, ty] = deviation;
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const x = (2 * column + 1) / width - 1, y = (2 * row + 1) / height - 1;
        let u = left + (((1 + a) * x + b * y + tx + 1) * width) / 2;
        let v = top + ((c * x + (1 + d) * y + ty + 1) * height) / 2;
        if (padding !== "zeros" && !bicubic) { u = fold(u, x0, x1); v = fold(v, y0, y1); }
        u -= 0.5; v -= 0.5;
        const i = Math.floor(u), j = Math.floor(v), fx = u - i, fy = v - j;
        const across = bicubic ? itnFamily.cubic(fx) : [1 - fx, fx], down = bicubic ? itnFamily.cubic(fy) : [1 - fy, fy];
        for (let dy = 0; dy < down.length; dy++) {
          for (let dx = 0; dx < across.length; dx++) {
            let px = i + first + dx, py = j + first + dy;
            if (padding !== "zeros" && bicubic) { px = fold(px + 0.5, x0, x1) - 0.5; py = fold(py + 0.5, y0, y1) - 0.5; }
            if (px < 0 || px >= W || py < 0 || py >= H) continue;
            if (padding === "zeros" && (px < x0 || px >= x1 || py < y0 || py >= y1)) continue;
            const weight = across[dx] * down[dy];
            for (let ch = 0; ch < channels; ch++)
              out[(ch * height + row) * width + column] += weight * pixels[ch * n + py * W + px];
          }
        }
      }
    }
    return bicubic ? out.map((value) => Math.min(1, Math.max(0, value))) : out;
  },

  crop(pixels, image) {
    const [top, left, height, width] = image.crop, out = new Float64Array(image.channels * width * height);
    for (let ch = 0; ch < image.channels; ch++)
      for (let row = 0; row < height; row++)
        for (let column = 0; column < width; column++)
          out[(ch * height + row) * width + column] =
            pixels[(ch * image.height + top + row) * image.width + left + column];
    return out;
  },

  // An image under F(k1, k2): color first, then the spatial part
  transformed(data, image, ks) {
    let pixels = image.pixels, cropped = false;
    for (const part of data.families[image.family]) {
      const deviation = itnFamily.deviation(part, ks[part.k]);
      if (part.kind === "color") pixels = itnFamily.color(pixels, image.channels, deviation);
      else { pixels = itnFamily.warp(pixels, image, deviation, part.padding, part.interpolation); cropped = true; }
    }
    return cropped ? pixels : itnFamily.crop(pixels, image);
  },

  // The point of the lattice next to k: its number, and its entries
  nearest(points, ks) {
    const last = points.length - 1;
    let number = 0;
    const entries = ks.flat().map((value) => {
      const at = Math.round(value * last);
      number = number * points.length + at;
      return points[at];
    });
    return {number, entries};
  },
};

if (typeof module !== "undefined") module.exports = itnFamily;

if (typeof document !== "undefined") {
  const make = (parent, tag, text = "", attributes = {}) => {
    const element = parent.appendChild(document.createElement(tag));
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const shown = (values) => `(${values.map((value) => +value.toFixed(2)).join(", ")})`;

  const pixelsOf = async (image) => {
    const picture = new Image();
    picture.src = image.src;
    await picture.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.width; canvas.height = image.height;
    const context = canvas.getContext("2d", {willReadFrequently: true});
    context.drawImage(picture, 0, 0);
    const bytes = context.getImageData(0, 0, image.width, image.height).data, n = image.width * image.height;
    image.pixels = new Float64Array(image.channels * n);
    for (let ch = 0; ch < image.channels; ch++)
      for (let i = 0; i < n; i++) image.pixels[ch * n + i] = bytes[4 * i + ch] / 255;
  };

  const paint = (canvas, image, pixels) => {
    const n = canvas.width * canvas.height, context = canvas.getContext("2d");
    const out = context.createImageData(canvas.width, canvas.height);
    for (let i = 0; i < n; i++) {
      for (let ch = 0; ch < 3; ch++)
        out.data[4 * i + ch] = Math.round(255 * Math.min(1, Math.max(0, pixels[(image.channels > 1 ? ch : 0) * n + i])));
      out.data[4 * i + 3] = 255;
    }
    context.putImageData(out, 0, 0);
  };

  // Whatever is shown is drawn at most once for each frame of the screen
  const oncePerFrame = (draw) => {
    let waiting = false;
    return () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; draw(); });
    };
  };

  const answer = (figure, data, image, index) => {
    figure.className = index === image.unchanged ? "kept" : "broken";
    figure.querySelector("figcaption").textContent = data.names[index];
  };

  const lattice = async (root, data) => {
    await Promise.all(data.images.map(pixelsOf));
    const ks = data.controls.map(() => [0, 0]), active = [...new Set(data.families.flat().map((part) => part.k))];
    const controls = make(root, "div", "", {class: "controls"}), inputs = [];
    for (const number of active.sort()) {
      for (const entry of [0, 1]) {
        const label = make(controls, "label", `k${number + 1}[${entry}], ${data.controls[number]} `);
        const value = make(label, "output", "0.00");
        const range = {type: "range", min: 0, max: 1, step: 0.01, value: 0, autocomplete: "off"};
        const input = make(label, "input", "", range);
        inputs.push({input, value, number, entry});
      }
    }
    const marks = make(root, "div", "", {class: "marks"});
    const said = make(root, "p", "", {class: "reading"}), pictures = make(root, "div", "", {class: "pictures"});
    const views = data.images.map((image) => {
      const figure = make(pictures, "figure"), canvas = make(figure, "canvas");
      [canvas.height, canvas.width] = image.crop.slice(2);
      canvas.className = Math.max(canvas.width, canvas.height) <= 64 ? "small" : "";
      make(figure, "figcaption");
      return {image, figure, canvas};
    });
    const draw = () => {
      for (const {input, value, number, entry} of inputs) {
        ks[number][entry] = Number(input.value);
        value.textContent = ks[number][entry].toFixed(2);
      }
      const near = itnFamily.nearest(data.points, active.map((number) => ks[number]));
      for (const {image, figure, canvas} of views) {
        paint(canvas, image, itnFamily.transformed(data, image, ks));
        answer(figure, data, image, image.answers[near.number]);
      }
      const at = active.map((number, i) => `k${number + 1} = ${shown(near.entries.slice(2 * i, 2 * i + 2))}`);
      said.textContent = `Below each image: the classifier's answer at the nearest point computed beforehand, ${at.join(", ")}.`;
    };
    const redraw = oncePerFrame(draw);
    const set = (values) => {
      inputs.forEach(({input, number, entry}, i) => { input.value = values[i]; });
      redraw();
    };
    for (const {input} of inputs) input.addEventListener("input", redraw);
    for (const mark of data.marks) make(marks, "button", mark.name, {type: "button"}).addEventListener("click", () => set(mark.k));
    draw();
  };

  const rays = (root, data) => {
    const label = make(root, "label", "way ");
    const choice = make(label, "select", "", {autocomplete: "off"});
    data.ways.forEach((way, i) => make(choice, "option", way.name, {value: i}));
    const along = make(root, "label", "t ");
    const value = make(along, "output", "0");
    const range = {type: "range", min: 0, max: data.ts.length - 1, step: 1, value: 0, autocomplete: "off"};
    const input = make(along, "input", "", range);
    const pictures = make(root, "div", "", {class: "pictures"});
    const views = data.images.map(() => {
      const figure = make(pictures, "figure"), picture = make(figure, "img", "", {alt: ""});
      make(figure, "figcaption");
      return {figure, picture};
    });
    const draw = () => {
      const way = Number(choice.value), t = Number(input.value);
      value.textContent = data.ts[t];
      views.forEach(({figure, picture}, i) => {
        const image = data.images[i];
        picture.src = image.pictures[way][t];
        picture.className = image.small ? "small" : "";
        answer(figure, data, image, image.answers[way][t]);
      });
    };
    input.addEventListener("input", draw);
    choice.addEventListener("change", draw);
    draw();
  };

  for (const root of document.querySelectorAll(".sliders")) {
    const data = JSON.parse(root.querySelector("script").textContent);
    if (data.ways) rays(root, data);
    else lattice(root, data);
  }
}
