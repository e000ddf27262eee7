  // HdrHistogram's plot: each step to the right by a factor of ten is one nine more.
  const percentiles = (all, id) => {
    const points = all.filter((p) => p.curve);
    // In a report a colour is a precision, and strokes tell its engines apart; a bench knows no precision.
    const colors = ["accent", "fp16", "fp32", "other", "bad", "good", "wait"].map(color);
    const strokes = ["solid", "12px,3px", "6px,3px", "12px,3px,3px,3px", "20px,4px"];
    const before = (p, i) => points.slice(0, i).filter((other) => other.precision === p.precision).length;
    const ink = (p, i) => (p.precision ? precisionColor(p.precision) : colors[i % colors.length]);
    const stroke = (p, i) => (p.precision ? strokes[before(p, i) % strokes.length] : "solid");
    const nines = (x) => `${+(100 * (1 - 1 / x)).toFixed(Math.max(0, Math.ceil(Math.log10(x)) - 1))} %`;
    const traces = points.flatMap((p, i) => {
      const chosen = p.role === "chosen";
      const part = (kept, dash, more) => ({
        type: "scatter", mode: "lines", name: chosen ? `<b>${plain(p.name)}</b>` : plain(p.name), legendgroup: p.name, x: kept.map(([x]) => x), y: kept.map(([, ms]) => ms),
        line: { shape: "hv", color: ink(p, i), width: chosen ? 3 : 1.75, dash }, text: kept.map(([x]) => nines(x)),
        hovertemplate: `${plain(p.name)}, %{text} of the runs: up to %{y:.4~g} ms<extra></extra>`, ...more,
      });
      const { quoted } = p.curve;
      return [part(p.curve.points.filter(([x]) => x <= quoted), stroke(p, i), {}), part(p.curve.points.filter(([x]) => x >= quoted), "dot", { showlegend: false })];
    });
    const ends = points.map((p) => p.curve.points[p.curve.points.length - 1]);
    const most = Math.max(...ends.map(([x]) => x));
    // A noisy machine's slowest runs would press all others to the ground.
    const wide = Math.max(...ends.map(([, ms]) => ms)) > 10 * Math.max(...points.map((p) => p.latency));
    const ticks = [1, 2, 10, 100, 1000, 10000, 100000].filter((x) => x <= most);
    const element = document.getElementById(id);
    if (element) element.style.height = `${330 + (narrow() ? 24 : 8) * points.length}px`;
    draw(id, traces, layout({
      showlegend: true, legend: legend(),
      xaxis: axis("share of the runs", { type: "log", tickmode: "array", tickvals: ticks, ticktext: ticks.map(nines), range: [0, Math.log10(most) * 1.02] }),
      yaxis: axis("latency, ms", wide ? { type: "log", dtick: 1 } : { rangemode: "tozero" }),
    }));
  };
