"use strict";
(() => {
{% include "plots.js" %}
{% include "percentiles.js" %}
  const drawAll = () => { if (data.points.some((p) => p.curve)) percentiles(data.points, "percentiles"); };
  drawAll();
{% include "redraw.js" %}
})();
