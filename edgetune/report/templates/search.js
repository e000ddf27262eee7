"use strict";
(() => {
{% include "plots.js" %}
  // A search may draw values twice: the front, and the chosen one, lie on top of what equals them.
  const rank = (t) => (t.number === data.chosen ? 2 : data.front.includes(t.number) ? 1 : 0);
  const finished = data.trials.filter((t) => t.state === "finished").sort((a, b) => rank(a) - rank(b));
  const told = (t) => `<b>trial ${t.number}: ${plain(t.engine)}</b><br>${(100 * t.accuracy).toFixed(1)} %, ${t.speedup.value.toFixed(2)}x float, ${(t.size_bytes / 1000).toFixed(0)} kB<br>${t.energy_ratio ? `${t.energy_ratio.toFixed(2)} of float's energy<br>` : ""}`
    + Object.entries(t.values).map(([k, v]) => `${plain(k)}: ${plain(typeof v === "number" ? Number(v.toPrecision(3)) : v)}`).join("<br>") + "<extra></extra>";

  const largest = Math.max(1, data.float.size_bytes || 0, ...finished.map((t) => t.size_bytes));
  const diameter = (bytes) => Math.max(10, 28 * Math.sqrt((bytes || 0) / largest));
  // Trials are counted in whole numbers.
  const counted = (text) => axis(text, { tickformat: "d", dtick: Math.max(1, Math.ceil(data.trials.length / 12)) });

  const pareto = () => {
    const front = data.front.map((n) => finished.find((t) => t.number === n)).sort((a, b) => b.speedup.value - a.speedup.value);
    const errors = (trials) => ({
      type: "data", symmetric: false, thickness: 1, color: color("soft"),
      array: trials.map((t) => t.speedup.ci95[1] - t.speedup.value), arrayminus: trials.map((t) => t.speedup.value - t.speedup.ci95[0]),
    });
    draw("pareto", [
      {
        type: "scatter", mode: "lines", x: front.map((t) => t.speedup.value), y: front.map((t) => 100 * t.accuracy), hoverinfo: "skip",
        line: { shape: data.sizes ? "linear" : "vh", color: color("accent"), width: data.sizes ? 0 : 2 },
      },
      {
        type: "scatter", mode: "markers", x: [1], y: [100 * data.float.accuracy], hovertemplate: "<b>float</b><br>%{y:.1f} %<extra></extra>",
        marker: { symbol: "diamond", size: diameter(data.float.size_bytes), color: color("fp32") },
      },
      {
        type: "scatter", mode: "markers", x: finished.map((t) => t.speedup.value), y: finished.map((t) => 100 * t.accuracy),
        hovertemplate: finished.map(told), error_x: errors(finished),
        marker: {
          size: finished.map((t) => diameter(t.size_bytes)), opacity: finished.map((t) => (t.inside_budget ? 1 : 0.45)),
          color: finished.map((t) => color(data.front.includes(t.number) ? "int8" : "other")),
          line: { color: finished.map((t) => color(t.number === data.chosen ? "ink" : "surface")), width: finished.map((t) => (t.number === data.chosen ? 3 : 1)) },
        },
      },
    ], layout({
      xaxis: axis("speed-up over float"), yaxis: axis("validation accuracy, %"),
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: data.floor, y1: data.floor, line: { color: color("soft"), width: 1, dash: "dash" } }],
    }));
  };

  const volume = () => draw("volume", [{
    type: "scatter", mode: "lines+markers", x: data.hypervolume.map((h) => h.number), y: data.hypervolume.map((h) => h.value),
    line: { shape: "hv", color: color("accent"), width: 2 }, hovertemplate: "trial %{x}: %{y:.4f}<extra></extra>",
  }], layout({ xaxis: counted("trial"), yaxis: axis("hypervolume") }));

  const drawAll = () => { pareto(); volume(); };
  drawAll();
{% include "redraw.js" %}
})();
