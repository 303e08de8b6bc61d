/** What a new configuration begins with. */
export const template = `id: my-agent
name: My Agent
description: What it is for.
version: 1.0.0

allowed_tools: [Bash, Read, Write, Edit, Grep, Glob, TodoWrite]
permission_mode: acceptEdits
resource_limits:
  cpu_quota: 100000 # 1 CPU
  memory_limit: 2g
  storage_limit: 5g

system_prompt:
  type: preset
  preset: claude_code
  append: |
    You work in /workspace.
`;
