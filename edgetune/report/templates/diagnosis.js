"use strict";
(() => {
  const layers = JSON.parse(document.getElementById("plots").textContent);
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  // Plotly reads a little HTML in its texts; names come from the user.
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const names = layers.map((layer, i) => `${i + 1}. ${plain(layer.name)} (${plain(layer.operator)})`);
  const axis = (text, more) => ({
    title: { text, font: { size: 13, color: color("soft") } }, gridcolor: color("line"), linecolor: color("line"),
    tickfont: { size: 12, color: color("soft") }, zeroline: false, automargin: true, ...more,
  });
  const figure = document.getElementById("plot-layers");
  const draw = () => Plotly.react(figure, [
    { type: "bar", name: "divergence alone", x: layers.map((_, i) => i + 1), y: layers.map((l) => l.divergence), text: names,
      textposition: "none", hovertemplate: "%{text}<br>divergence %{y:.2g} nats<extra></extra>", marker: { color: color("accent") } },
    { type: "scatter", mode: "lines+markers", name: "SQNR", x: layers.map((_, i) => i + 1), y: layers.map((l) => l.sqnr), text: names,
      yaxis: "y2", hovertemplate: "%{text}<br>SQNR %{y:.1f} dB<extra></extra>", line: { color: color("fp16"), width: 2 } },
  ], {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 12, r: 16, t: 32, b: 12 },
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: color("ink") },
    xaxis: axis("operator, in the order of execution"), yaxis: axis("divergence alone, nats", { rangemode: "tozero" }),
    yaxis2: axis("SQNR, dB", { overlaying: "y", side: "right", showgrid: false, tickmode: "auto" }),
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 12, color: color("soft") } },
    hoverlabel: { bgcolor: color("surface"), bordercolor: color("line"), font: { color: color("ink"), size: 13 }, align: "left" },
  }, { responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "" });
  draw();
  figure.querySelectorAll(".main-svg").forEach((svg) => svg.setAttribute("aria-hidden", "true")); // its label tells it
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  // Paper is white, whatever the screen is.
  const onPaper = (yes) => () => {
    document.documentElement.toggleAttribute("data-print", yes);
    draw();
  };
  window.addEventListener("beforeprint", onPaper(true));
  window.addEventListener("afterprint", onPaper(false));
})();
