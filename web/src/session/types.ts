import type { components } from "@/api/schema";

type Schemas = components["schemas"];

interface Head { event_id?: number; time: string; turn?: number }

/** A piece of a thinking block that is still being written; like text_delta it has no number and is not kept. */
export interface ThinkingDeltaEvent extends Head { type: "thinking_delta"; content: string; parent?: string }

/** Somebody changed the session's model or permission mode. */
export interface SettingsEvent extends Head { type: "settings"; model?: string; permission_mode?: string }

/** What the event stream brings. Types that this page does not know yet are passed over. */
export type Event = Schemas["Event"] | ThinkingDeltaEvent | SettingsEvent;

export type Usage = Schemas["Usage"];
export type Todo = Schemas["Todo"];
export type Verdict = Schemas["Verdict"];
export type InitEvent = Schemas["InitEvent"];

/** GET /api/agents/sessions/{id}, with the fields that newer hosts add. */
export type SessionDetail = Schemas["Session"] & {
  title?: string;
  model?: string;
  permission_mode?: string;
  config?: { model?: string; permission_mode?: string; name?: string };
};

/** One entry of GET /api/agents/{id}/commands. */
export interface Command { name: string; description: string; argument_hint: string }

export const permissionModes = ["default", "acceptEdits", "plan", "bypassPermissions"] as const;

/** Names that a person understands for the permission modes. */
export const permissionNames: Record<string, string> = {
  default: "Ask before changes", acceptEdits: "Accept edits", plan: "Plan only", bypassPermissions: "Ask nothing",
};
