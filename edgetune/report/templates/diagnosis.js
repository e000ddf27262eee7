"use strict";
(() => {
{% include "plots.js" %}
  const places = data.map((_, i) => i + 1);
  const names = data.map((layer, i) => `${i + 1}. ${plain(layer.name)} (${plain(layer.operator)})`);
  const drawAll = () => draw("plot-layers", [
    { type: "bar", name: "divergence alone", x: places, y: data.map((l) => l.divergence), text: names, textposition: "none",
      hovertemplate: "%{text}<br>divergence %{y:.2g} nats<extra></extra>", marker: { color: color("accent") } },
    { type: "scatter", mode: "lines+markers", name: "SQNR", x: places, y: data.map((l) => l.sqnr), text: names,
      yaxis: "y2", hovertemplate: "%{text}<br>SQNR %{y:.1f} dB<extra></extra>", line: { color: color("fp16"), width: 2 } },
  ], layout({
    showlegend: true, legend: legend(),
    xaxis: axis("operator, in the order of execution"), yaxis: axis("divergence alone, nats", { rangemode: "tozero" }),
    yaxis2: axis("SQNR, dB", { overlaying: "y", side: "right", showgrid: false, tickmode: "auto" }),
  }));
  drawAll();
{% include "redraw.js" %}
})();
