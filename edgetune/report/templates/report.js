"use strict";
(() => {
{% include "plots.js" %}
  // Of trainings, which all are in float: no colour of another precision.
  const series = () => ["fp32", "other", "bad", "good", "wait", "accent"].map(color);
  // With a legend wherever there is more than one trace.
  const withLegend = (more) => layout({ showlegend: undefined, legend: legend(), ...more });

{% include "tradeoff.js" %}

  const distribution = (target, id) => {
    const points = target.points.filter((p) => p.histogram).reverse();
    const traces = points.map((p, row) => {
      const { edges, counts } = p.histogram;
      const most = Math.max(...counts);
      const [x, y] = [[edges[0]], [row]];
      counts.forEach((count, i) => {
        x.push(edges[i], edges[i + 1]);
        y.push(row + (0.86 * count) / most, row + (0.86 * count) / most);
      });
      x.push(edges[edges.length - 1]);
      y.push(row);
      return {
        type: "scatter", mode: "lines", x, y, fill: "toself", fillcolor: precisionColor(p.precision), opacity: 0.8, name: "", hoveron: "fills",
        line: { color: precisionColor(p.precision), width: 1 }, showlegend: false, text: `${plain(p.name)}: median ${p.latency.toFixed(3)} ms`, hoverinfo: "text",
      };
    });
    const shapes = points.map((p, row) => ({ type: "line", x0: p.latency, x1: p.latency, y0: row - 0.06, y1: row + 0.9, line: { color: color("ink"), width: 2 } }));
    const slow = (p) => (p.histogram.outliers ? `<br>${p.histogram.outliers} of ${p.runs} slower, up to ${p.histogram.max.toPrecision(3)} ms` : "");
    const labels = points.map((p) => `${p.role === "chosen" ? `<b>${plain(p.name)}</b>` : plain(p.name)}<span style="font-size:11px">${slow(p)}</span>`);
    const element = document.getElementById(id);
    if (element) element.style.height = `${90 + 62 * points.length}px`;
    const span = range(points.flatMap((p) => [p.histogram.edges[0], p.histogram.edges[p.histogram.edges.length - 1]]), 0.05, 0.03);
    draw(id, traces, withLegend({
      shapes, xaxis: axis("latency, ms", { range: span }),
      yaxis: axis("", { tickmode: "array", tickvals: points.map((_, row) => row + 0.3), ticktext: labels, showgrid: false, range: [-0.15, points.length] }),
    }));
  };

{% include "percentiles.js" %}

  const MOST_LAYERS = 80; // drawn; the table has them all
  const layers = ({ before, after, sqnr_of: noisy, alone, rows }, precisions, id) => {
    const longest = [...rows].sort((a, b) => Math.max(b.before_ms, b.after_ms) - Math.max(a.before_ms, a.after_ms)).slice(0, MOST_LAYERS);
    const shown = rows.filter((row) => longest.includes(row)).reverse(); // plotly draws from the bottom
    const names = shown.map((row) => (row.layer.length > 34 ? `…${row.layer.slice(-33)}` : row.layer));
    const places = shown.map((_, i) => i);
    const bars = (panel, name, value, fill, unit, more) => ({
      type: "bar", orientation: "h", name: plain(name), y: places, x: shown.map(value), marker: { color: fill }, xaxis: `x${panel || ""}`, yaxis: `y${panel || ""}`,
      customdata: shown.map((row) => plain(row.layer)), hovertemplate: `%{customdata}<br>${plain(name)}: %{x:.3~g} ${unit}<extra></extra>`, ...more,
    });
    const micro = (key) => (row) => (row[key] === null ? null : 1000 * row[key]);
    const fill = (engine) => precisionColor(precisions[engine]);
    const panels = [{ title: "time, µs", traces: [...(after ? [bars(1, after, micro("after_ms"), fill(after), "µs")] : []), bars(1, before, micro("before_ms"), fill(before), "µs")] }];
    if (noisy) {
      const share = (row) => (row.sqnr_db === null ? null : 100 * 10 ** (-row.sqnr_db / 20));
      panels.push({ title: "noise, % of the signal", traces: [bars(2, `noise of ${noisy}`, share, color("other"), "%")] });
    }
    if (alone) {
      const panel = panels.length + 1;
      panels.push({ title: "loss, nats", traces: [
        bars(panel, "divergence", (row) => row.divergence, color("wait"), "nats"), bars(panel, "loss added", (row) => row.loss_change, color("bad"), "nats"),
      ] });
    }
    // Side by side, the first one wider; on a phone one below the other.
    const count = panels.length;
    const widths = [[[0, 1]], [[0, 0.62], [0.68, 1]], [[0, 0.46], [0.51, 0.73], [0.78, 1]]][count - 1];
    const stacked = count > 1 && narrow();
    const domain = (i) => (stacked ? { x: [0, 1], y: [1 - (i + 0.86) / count, 1 - i / count] } : { x: widths[i], y: [0, 1] });
    const axes = Object.fromEntries(panels.flatMap(({ title }, i) => {
      const [n, at] = [i ? i + 1 : "", domain(i)];
      return [
        [`xaxis${n}`, axis(title, { domain: at.x, anchor: `y${n}`, rangemode: "tozero", nticks: i || stacked ? 4 : 8 })],
        [`yaxis${n}`, axis("", {
          tickmode: "array", tickvals: places, ticktext: names.map(plain), showgrid: false, range: [-0.6, shown.length - 0.4], domain: at.y, anchor: `x${n}`,
          ...(i && !stacked ? { showticklabels: false } : {}),
        })],
      ];
    }));
    const element = document.getElementById(id);
    if (element) element.style.height = `${(120 + 24 * shown.length) * (stacked ? count : 1)}px`;
    draw(id, panels.flatMap(({ traces }) => traces), withLegend({
      bargap: 0.25, barmode: "group", legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", traceorder: "reversed", font: { size: 12, color: color("soft") } }, ...axes,
    }));
  };

  const history = (epochs, id) => {
    const steps = [...new Set(epochs.map((e) => e.step))];
    const colors = series();
    const curve = (step, i, key, more) => {
      const mine = epochs.filter((e) => e.step === step && e[key] !== null && e[key] !== undefined);
      const percent = key === "val_accuracy";
      return {
        type: "scatter", mode: "lines+markers", name: plain(step), legendgroup: step, x: mine.map((e) => e.epoch), y: mine.map((e) => (percent ? 100 : 1) * e[key]),
        line: { color: colors[i % colors.length], width: 2, dash: key === "train_loss" ? "dot" : "solid" }, marker: { size: 5 },
        hovertemplate: `${plain(step)}, epoch %{x}: %{y:.${percent ? 1 : 3}f}${percent ? " %" : ""}<extra></extra>`, ...more,
      };
    };
    const traces = steps.flatMap((step, i) => [
      curve(step, i, "train_loss", { showlegend: false }), curve(step, i, "val_loss", {}),
      curve(step, i, "val_accuracy", { xaxis: "x2", yaxis: "y2", showlegend: false }),
    ]);
    const whole = { rangemode: "tozero", dtick: Math.max(1, Math.ceil(Math.max(...epochs.map((e) => e.epoch)) / 8)) };
    const side = narrow() ? { xaxis: [0, 1], xaxis2: [0, 1], yaxis: [0.58, 1], yaxis2: [0, 0.4] } : { xaxis: [0, 0.46], xaxis2: [0.56, 1], yaxis: [0, 1], yaxis2: [0, 1] };
    const element = document.getElementById(id);
    if (element) element.style.height = narrow() ? "520px" : "340px";
    draw(id, traces, withLegend({
      xaxis: axis("epoch", { ...whole, domain: side.xaxis }), yaxis: axis("loss", { domain: side.yaxis }),
      xaxis2: axis("epoch", { ...whole, domain: side.xaxis2, anchor: "y2" }), yaxis2: axis("accuracy, %", { domain: side.yaxis2, anchor: "x2" }),
    }));
  };

  const pruning = (rows, id) => {
    const names = [...new Set(rows.map((r) => r.pruning))];
    const colors = series();
    const curve = (name, i, key, more) => {
      const mine = rows.filter((r) => r.pruning === name && r[key] !== undefined);
      return {
        type: "scatter", mode: "lines+markers", name: plain(name), legendgroup: name, x: mine.map((r) => r.step), y: mine.map((r) => 100 * r[key]),
        line: { color: colors[i % colors.length], width: 2 }, marker: { size: 6 }, hovertemplate: `${plain(name)}, step %{x}: %{y:.1f} %<extra></extra>`, ...more,
      };
    };
    const traces = names.flatMap((name, i) => [
      curve(name, i, "val_accuracy_pruned", { showlegend: false, line: { color: colors[i % colors.length], width: 2, dash: "dot" } }), curve(name, i, "val_accuracy", {}),
    ]);
    draw(id, traces, withLegend({ xaxis: axis("step", { dtick: 1 }), yaxis: axis("accuracy, %", {}) }));
  };

  const drawAll = () => {
    data.targets.forEach((target, i) => {
      if (!target.points.length) return;
      tradeoff(target, `tradeoff-${i + 1}`);
      distribution(target, `latency-${i + 1}`);
      percentiles(target.points, `percentiles-${i + 1}`);
      if (target.layers && target.layers.rows.length) layers(target.layers, target.precisions, `layers-${i + 1}`);
    });
    if (data.history.length) history(data.history, "history");
    if (data.pruning.length) pruning(data.pruning, "pruning-steps");
  };
  drawAll();

  document.querySelectorAll(".filters").forEach((filters) => {
    const [table, more] = filters.parentElement.querySelectorAll("table:has(tr[data-precision])");
    const selects = [...filters.querySelectorAll("select")];
    const wanted = (row) => selects.every((select) => !select.value || row.dataset[select.name] === select.value);
    const apply = () => {
      [table, more].forEach((each) => each.querySelectorAll("tr[data-precision]").forEach((row) => { row.hidden = !wanted(row); }));
      const [all, hidden] = ["", "[hidden]"].map((which) => table.querySelectorAll(`tr[data-precision]${which}`).length);
      filters.querySelector("output").textContent = hidden ? `${all - hidden} of ${all} shown` : "";
    };
    filters.addEventListener("change", apply);
    apply(); // a browser may keep what was selected before a reload
  });

{% include "redraw.js" %}
})();
