import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The host that `npm run dev` talks to.
const host = process.env.AGCLUSTER_URL ?? "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    target: "es2023", sourcemap: false, assetsInlineLimit: 0, reportCompressedSize: false, chunkSizeWarningLimit: 1500,
    // What every page needs is one file, and the small parts that several pages share are another: a browser asks for six at a time, and by
    // themselves they would be some thirty.
    rolldownOptions: { output: { codeSplitting: { groups: [
      { name: "start", tags: ["$initial"], priority: 2 },
      { name: "shared", test: /[\\/](src[\\/]ui|lucide-react)[\\/]/, minShareCount: 2, maxModuleSize: 10_000, priority: 1 },
    ] } } },
  },
  server: {
    proxy: Object.fromEntries(["/api", "/health", "/metrics", "/docs", "/openapi"].map((path) => [path, { target: host, ws: true }])),
  },
});
