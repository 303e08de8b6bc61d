import { mergeConfig } from "vite";
import { defineConfig } from "vitest/config";
import vite from "./vite.config.ts";

// unit runs beside the code; e2e, shots and bench drive Chromium against a real host (see e2e/README.md).
const browser = (name: string) => ({
  extends: true as const,
  test: {
    name, include: [`e2e/**/*.${name}.ts`], environment: "node", fileParallelism: false, testTimeout: 300_000, hookTimeout: 300_000,
    globalSetup: ["e2e/setup.ts"],
  },
});

export default mergeConfig(
  vite,
  defineConfig({
    // The builder's tests read ../presets.
    server: { fs: { allow: [".."] } },
    test: {
      projects: [
        { extends: true, test: { name: "unit", include: ["src/**/*.test.{ts,tsx}"], environment: "jsdom" } },
        browser("e2e"), browser("shots"), browser("bench"),
      ],
    },
  }),
);
