import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import "./theme.css";
import { App } from "./App";
import { router } from "./router";

/** Milliseconds after which the frame is drawn by itself when the page's code, and what it shows first, is not there yet. */
const patience = 450;

// React shows what a page is waiting for at least 300 ms, so it is not shown at all where the code comes sooner.
const root = document.getElementById("root");
if (root) {
  const draw = () => { createRoot(root).render(<StrictMode><App /></StrictMode>); };
  void Promise.race([router.load().catch(() => undefined), new Promise((go) => { setTimeout(go, patience); })]).then(draw);
}
