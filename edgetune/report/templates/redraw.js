  // Colours and sizes follow the screen, and paper.
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  window.matchMedia("(max-width: 760px)").addEventListener("change", drawAll);
  // Paper is white, whatever the screen is.
  const unfolded = [];
  const onPaper = (yes) => () => {
    document.documentElement.toggleAttribute("data-print", yes);
    // What is folded cannot be opened on paper.
    if (yes) unfolded.push(...document.querySelectorAll("details:not([open])"));
    unfolded.forEach((details) => { details.open = yes; });
    if (!yes) unfolded.length = 0;
    drawAll();
  };
  window.addEventListener("beforeprint", onPaper(true));
  window.addEventListener("afterprint", onPaper(false));
