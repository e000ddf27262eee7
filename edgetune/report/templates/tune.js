"use strict";
(() => {
{% include "plots.js" %}
  const last = (t) => (t.accuracy !== null ? t.accuracy : t.history.length ? t.history[t.history.length - 1].accuracy : null);
  const told = (t) => `<b>trial ${t.number}${t.recipe ? ", the recipe" : ""}</b><br>${(100 * last(t)).toFixed(1)} %, ${t.state}<br>`
    + Object.entries(t.values).map(([k, v]) => `${plain(k)}: ${plain(typeof v === "number" ? Number(v.toPrecision(3)) : v)}`).join("<br>") + "<extra></extra>";
  const finished = data.trials.filter((t) => t.state === "finished");
  const mark = (trials) => ({
    color: trials.map((t) => color(t.recipe ? "fp16" : "int8")), size: 10,
    line: { color: trials.map((t) => color(t.number === data.best ? "ink" : "surface")), width: trials.map((t) => (t.number === data.best ? 3 : 1)) },
  });

  const trials = () => {
    const shown = data.trials.filter((t) => last(t) !== null);
    const best = [];
    finished.forEach((t) => best.push(Math.max(best.length ? best[best.length - 1] : 0, 100 * t.accuracy)));
    draw("trials", [
      { type: "scatter", mode: "lines", x: finished.map((t) => t.number), y: best, line: { shape: "hv", color: color("accent"), width: 2 }, hoverinfo: "skip" },
      {
        type: "scatter", mode: "markers", x: shown.map((t) => t.number), y: shown.map((t) => 100 * last(t)), hovertemplate: shown.map(told),
        marker: { ...mark(shown), symbol: shown.map((t) => (t.state === "finished" ? "circle" : "x-thin-open")) },
      },
    ], layout({ xaxis: axis("trial"), yaxis: axis("validation accuracy, %") }));
  };

  const importance = () => {
    if (!data.importance) return;
    const names = Object.keys(data.importance).reverse();
    draw("importance", [{
      type: "bar", orientation: "h", x: names.map((name) => 100 * data.importance[name]), y: names.map(plain),
      marker: { color: color("int8") }, hovertemplate: "%{y}: %{x:.0f} %<extra></extra>",
    }], layout({ xaxis: axis("importance, %", { rangemode: "tozero" }), yaxis: axis("") }));
  };

  const values = () => {
    const made = {};
    const columns = narrow() ? 1 : Math.min(3, data.space.length);
    const rows = Math.ceil(data.space.length / columns);
    const traces = data.space.map((d, i) => {
      const [column, row, n] = [i % columns, Math.floor(i / columns), i ? i + 1 : ""];
      const mine = finished.filter((t) => d.name in t.values);
      const domain = (at, count, gap) => [(at + (at ? gap : 0)) / count, (at + 1 - (at + 1 < count ? gap : 0)) / count];
      const type = d.choices ? "category" : d.log && mine.every((t) => t.values[d.name] > 0) ? "log" : "linear";
      made[`xaxis${n}`] = axis(plain(d.name), { domain: domain(column, columns, 0.06), anchor: `y${n}`, type });
      made[`yaxis${n}`] = axis(column ? "" : "accuracy, %", { domain: domain(rows - 1 - row, rows, 0.14), anchor: `x${n}` });
      return {
        type: "scatter", mode: "markers", x: mine.map((t) => (d.choices ? plain(t.values[d.name]) : t.values[d.name])), y: mine.map((t) => 100 * t.accuracy),
        xaxis: `x${n}`, yaxis: `y${n}`, hovertemplate: mine.map(told), marker: mark(mine),
      };
    });
    const element = document.getElementById("values");
    if (element) element.style.height = `${60 + 260 * rows}px`;
    draw("values", traces, layout(made));
  };

  const curves = () => {
    const shown = data.trials.filter((t) => t.history.length);
    draw("curves", shown.map((t) => ({
      type: "scatter", mode: "lines", x: t.history.map((h) => 100 * h.share), y: t.history.map((h) => 100 * h.accuracy), hovertemplate: told(t),
      line: {
        color: color(t.recipe ? "fp16" : t.number === data.best ? "accent" : "fp32"), width: t.number === data.best || t.recipe ? 3 : 1,
        dash: t.state === "finished" ? "solid" : "dot",
      },
    })), layout({ xaxis: axis("share of the training, %", { range: [0, 101] }), yaxis: axis("validation accuracy, %") }));
  };

  const drawAll = () => { trials(); importance(); values(); curves(); };
  drawAll();
{% include "redraw.js" %}
})();
