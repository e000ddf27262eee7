  // Colours and sizes follow the screen, and paper.
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  window.matchMedia("(max-width: 760px)").addEventListener("change", drawAll);
  // Paper is white, whatever the screen is.
  const onPaper = (yes) => () => {
    document.documentElement.toggleAttribute("data-print", yes);
    drawAll();
  };
  window.addEventListener("beforeprint", onPaper(true));
  window.addEventListener("afterprint", onPaper(false));
