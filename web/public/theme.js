// Runs before the first paint, so that nobody sees the wrong theme flash. The choice is light, dark or (none) the system's.
(function () {
  var chosen = null;
  try { chosen = localStorage.getItem("agcluster.theme"); } catch { /* no storage: the system's */ }
  var dark = chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
