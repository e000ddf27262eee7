  const data = JSON.parse(document.getElementById("plots").textContent);
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const precisionColor = (precision) => color(["fp32", "fp16", "int8"].includes(precision) ? precision : "other");
  const narrow = () => window.matchMedia("(max-width: 760px)").matches;
  // Plotly reads a little HTML in its texts.
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const config = {
    responsive: true, displaylogo: false, displayModeBar: "hover",
    showSendToCloud: false, plotlyServerURL: "", // a report never leaves the machine by itself
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
  };
  const axis = (text, more) => ({
    title: { text, font: { size: 13, color: color("soft") }, standoff: 12 }, gridcolor: color("line"), linecolor: color("line"),
    tickfont: { size: 12, color: color("soft") }, exponentformat: "none", zeroline: false, automargin: true, fixedrange: narrow(), ...more,
  });
  const legend = () => ({ orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 12, color: color("soft") } });
  const layout = (more) => ({
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: color("ink") },
    margin: { l: 12, r: 16, t: 32, b: 12 }, hovermode: "closest", dragmode: narrow() ? false : "zoom",
    hoverlabel: { bgcolor: color("surface"), bordercolor: color("line"), font: { color: color("ink"), size: 13 }, align: "left" },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: color("soft"), activecolor: color("accent") }, ...more,
  });
  const draw = (id, traces, made) => {
    const element = document.getElementById(id);
    if (!element) return;
    Plotly.react(element, traces, made, config);
    element.querySelectorAll(".main-svg").forEach((svg) => svg.setAttribute("aria-hidden", "true")); // its label tells it
  };
