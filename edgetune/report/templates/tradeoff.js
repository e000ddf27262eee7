  const range = (values, low, high) => {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const span = most - least || Math.abs(most) * 0.1 || 1;
    return [least - low * span, most + high * span];
  };

  // A name that is too long for half of the figure loses its middle; the mark tells all of it.
  const LETTER = 7; // pixels, about
  const label = (p, size) => {
    const most = Math.max(8, Math.floor((size.width / 2 - 16) / LETTER));
    return p.name.length > most ? `${p.name.slice(0, Math.ceil(most / 2) - 1)}…${p.name.slice(-Math.floor(most / 2))}` : p.name;
  };

  // A label goes to the side of its mark where it covers least of the marks, the labels before it
  // and the name of the budget; in pixels, as marks and letters are.
  const labelSides = (points, size, xs, ys, diameter, floor, leading) => {
    const px = (p) => [(size.width * (p.latency - xs[0])) / (xs[1] - xs[0]), (size.height * (ys[1] - 100 * p.accuracy)) / (ys[1] - ys[0])];
    const box = (x, y, width, height) => ({ x0: x - width / 2, x1: x + width / 2, y0: y - height / 2, y1: y + height / 2 });
    const shared = (a, b) => Math.max(0, Math.min(a.x1, b.x1) - Math.max(a.x0, b.x0)) * Math.max(0, Math.min(a.y1, b.y1) - Math.max(a.y0, b.y0));
    const marks = points.map((p) => box(...px(p), diameter(p), diameter(p)));
    const taken = [];
    if (floor !== null) {
      const y = px({ latency: 0, accuracy: floor })[1];
      taken.push(box(size.width / 2, y, size.width, 4), { x0: 0, x1: narrow() ? 50 : 190, y0: y, y1: y + 20 });
    }
    points.filter((p) => p.bounds).forEach((p) => {
      const [[x, low], [, high]] = p.bounds.map((accuracy) => px({ ...p, accuracy }));
      taken.push({ x0: x - 4, x1: x + 4, y0: high, y1: low });
    });
    // The line that joins the leading ones: across to the next, then down to it.
    leading.slice(1).forEach((next, i) => {
      const [[x0, y0], [x1, y1]] = [px(leading[i]), px(next)];
      taken.push({ x0, x1, y0: y0 - 5, y1: y0 + 5 }, { x0: x1 - 5, x1: x1 + 5, y0, y1 });
    });
    return points.map((p, i) => {
      const [[x, y], r, width] = [px(p), diameter(p) / 2, LETTER * label(p, size).length];
      const places = {
        "top center": box(x, y - r - 9, width, 16), "bottom center": box(x, y + r + 9, width, 16),
        "middle right": box(x + r + width / 2 + 3, y, width, 16), "middle left": box(x - r - width / 2 - 3, y, width, 16),
        "top right": box(x + r + width / 2 + 3, y - r - 9, width, 16), "top left": box(x - r - width / 2 - 3, y - r - 9, width, 16),
        "bottom right": box(x + r + width / 2 + 3, y + r + 9, width, 16), "bottom left": box(x - r - width / 2 - 3, y + r + 9, width, 16),
      };
      const cost = (place) => {
        const inside = shared(place, { x0: 0, x1: size.width, y0: 0, y1: size.height });
        const covered = [...marks.filter((_, j) => j !== i), ...taken].reduce((sum, other) => sum + (other.weight || 1) * shared(place, other), 0);
        return covered + 20 * (16 * width - inside); // what hides a mark can be read, what is cut off cannot
      };
      const best = Object.keys(places).reduce((a, b) => (cost(places[b]) < cost(places[a]) - 1 ? b : a));
      taken.push({ ...places[best], weight: 4 }); // a name on a name hides both
      return best;
    });
  };

  // What is outside the budget is shaded, and its edge is named where no marks are: the time axis
  // begins at zero, so there is room on the left.
  const limits = (target, ys) => {
    const [shapes, annotations] = [[], []];
    const shade = (where) => shapes.push({ type: "rect", layer: "below", line: { width: 0 }, fillcolor: color("bad"), opacity: 0.055, ...where });
    const edge = (where) => shapes.push({ type: "line", layer: "below", line: { color: color("bad"), width: 1.5, dash: "dash" }, ...where });
    const note = (text, where) => annotations.push({ text, showarrow: false, font: { size: 12, color: color("bad") }, ...where });
    if (target.accuracy_floor !== null) {
      const y = 100 * target.accuracy_floor;
      shade({ xref: "paper", x0: 0, x1: 1, y0: ys[0], y1: y });
      edge({ xref: "paper", x0: 0, x1: 1, y0: y, y1: y });
      note(narrow() ? "budget" : `budget: ${target.accuracy_drop.toFixed(1)} points below float`, { xref: "paper", x: 0, xanchor: "left", xshift: 4, y, yanchor: "top", yshift: -2 });
    }
    if (target.latency_limit !== null) {
      const x = target.latency_limit;
      shade({ yref: "paper", y0: 0, y1: 1, x0: x, x1: 1e9 });
      edge({ yref: "paper", y0: 0, y1: 1, x0: x, x1: x });
      note(`limit ${x} ms`, { x, xanchor: "left", xshift: 4, y: ys[0], yanchor: "bottom" });
    }
    return { shapes, annotations };
  };

  // The engines that no other beats in both: what is faster is less accurate.
  const front = (points) => {
    const best = [...points].sort((a, b) => a.latency - b.latency || b.accuracy - a.accuracy);
    return best.filter((p, i) => best.slice(0, i).every((other) => other.accuracy < p.accuracy));
  };

  const tradeoff = (target, id) => {
    const { points } = target;
    const floors = target.accuracy_floor === null ? [] : [100 * target.accuracy_floor];
    const bounds = (p) => (p.bounds || [p.accuracy, p.accuracy]).map((share) => 100 * share);
    const ys = range([...points.flatMap(bounds), ...floors], 0.16, 0.2);
    const xs = [0, 1.12 * Math.max(...points.map((p) => p.latency), target.latency_limit || 0)];
    const largest = Math.max(1, ...points.map((p) => p.bytes || 0));
    const diameter = (p) => Math.max(9, (narrow() ? 30 : 40) * Math.sqrt((p.bytes || 0) / largest));
    const figure = document.getElementById(id);
    const size = { width: figure.clientWidth - 70, height: figure.clientHeight - 90 }; // without the axes
    const leading = target.mixed ? [] : front(points);
    const sides = labelSides(points, size, xs, ys, diameter, target.accuracy_floor, leading);
    const hover = (p) => `<b>${plain(p.name)}</b><br>` + p.hover.map(([k, v]) => `${k}: ${plain(v)}`).join("<br>") + "<extra></extra>";
    const groups = [...new Set(points.map((p) => p.precision))];
    const traces = groups.map((precision) => {
      const mine = points.map((p, i) => ({ ...p, side: sides[i] })).filter((p) => p.precision === precision);
      return {
        type: "scatter", mode: "markers+text", name: precision, x: mine.map((p) => p.latency), y: mine.map((p) => 100 * p.accuracy),
        text: mine.map((p) => (p.role === "chosen" ? `<b>${plain(label(p, size))}</b>` : plain(label(p, size)))), textposition: mine.map((p) => p.side),
        error_y: {
          type: "data", symmetric: false, thickness: 1, width: 3, color: color("soft"), visible: mine.some((p) => p.bounds),
          array: mine.map((p) => bounds(p)[1] - 100 * p.accuracy), arrayminus: mine.map((p) => 100 * p.accuracy - bounds(p)[0]),
        },
        textfont: { size: 12, color: color("ink") }, cliponaxis: false, hovertemplate: mine.map(hover),
        marker: {
          color: precisionColor(precision), opacity: 0.88, size: mine.map(diameter), symbol: mine.map((p) => (p.pruned ? "diamond" : "circle")),
          line: { color: mine.map((p) => color(p.role === "chosen" ? "ink" : "surface")), width: mine.map((p) => (p.role === "chosen" ? 3 : 1)) },
        },
      };
    });
    traces.unshift({
      type: "scatter", mode: "lines", x: leading.map((p) => p.latency), y: leading.map((p) => 100 * p.accuracy), hoverinfo: "skip",
      line: { shape: "hv", width: 1.5, dash: "dot", color: color("soft") },
    });
    draw(id, traces, layout({
      xaxis: axis("median latency, ms", { range: xs }), yaxis: axis("test accuracy, %", { range: ys }),
      ...limits(target, ys),
    }));
  };
