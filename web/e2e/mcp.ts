import type { Page } from "playwright-core";

/** A preset whose MCP server needs a credential; no preset of ours does. */
export async function fakeMCP(page: Page) {
  const config = {
    id: "github-code-review", name: "GitHub Code Review", description: "Reviews pull requests and comments on them.", version: "1.0.0", allowed_tools: ["Read", "Grep", "TodoWrite"], permission_mode: "bypassPermissions",
    mcp_servers: { github: { command: "npx", args: ["-y", "server-github"], env: { GITHUB_PERSONAL_ACCESS_TOKEN: "" } } }, resource_limits: { cpu_quota: 100_000, memory_limit: "2g", storage_limit: "5g" },
  };
  await page.route("**/api/configs/", async (route) => {
    const answer = await route.fetch();
    const list = (await answer.json()) as { configs: unknown[]; total: number };
    await route.fulfill({ response: answer, json: { configs: [...list.configs, { ...config, has_mcp_servers: true, has_sub_agents: false }], total: list.total + 1 } });
  });
  await page.route("**/api/configs/github-code-review", (route) => route.fulfill({ json: config }));
}
