import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [react()],
  server: { proxy: { "/api": "http://127.0.0.1:8765" } },
  build: { target: "es2022", sourcemap: false },
  test: { environment: "jsdom", setupFiles: ["src/test-setup.ts"], restoreMocks: true },
});
