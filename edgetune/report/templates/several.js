"use strict";
(() => {
{% include "plots.js" %}
{% include "tradeoff.js" %}
  const drawAll = () => {
    data.targets.forEach((target, i) => { if (target.points.length > 1) tradeoff(target, `tradeoff-${i + 1}`); }); // one alone compares with nothing
  };
  drawAll();
{% include "redraw.js" %}
})();
