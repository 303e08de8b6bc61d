import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from "@tanstack/react-router";
import { Shell } from "./Shell";
import { NotFound } from "./NotFound";
import { Crash } from "./Crash";
import { readSessionsSearch } from "@/sessions/search";
import { preloadConfigs } from "./catalog";

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound, errorComponent: Crash });

const home = createRoute({
  getParentRoute: () => root, path: "/",
  beforeLoad: () => { throw redirect({ to: "/launch" }); },
});
const launch = createRoute({
  getParentRoute: () => root, path: "/launch", loader: preloadConfigs, component: lazyRouteComponent(() => import("@/launch/LaunchPage"), "LaunchPage"),
  validateSearch: (search: Record<string, unknown>): { config?: string } => (typeof search.config === "string" ? { config: search.config } : {}),
});
const sessions = createRoute({
  getParentRoute: () => root, path: "/sessions", component: lazyRouteComponent(() => import("@/sessions/SessionsPage"), "SessionsPage"),
  validateSearch: readSessionsSearch,
});
const session = createRoute({
  getParentRoute: () => root, path: "/sessions/$sessionId", component: lazyRouteComponent(() => import("@/session/SessionPage"), "SessionPage"),
  // Not when a pointer rests on a link: then only the code is fetched.
  loader: async ({ params, cause }) => { if (cause !== "preload") await import("@/session/SessionPage").then((page) => page.followAhead(params.sessionId), () => undefined); },
  // panel: which side panel is open; file: what the viewer shows. Both are deep links.
  validateSearch: (search: Record<string, unknown>): { panel?: string; file?: string } => ({
    ...(typeof search.panel === "string" ? { panel: search.panel } : {}),
    ...(typeof search.file === "string" ? { file: search.file } : {}),
  }),
});
const builder = createRoute({
  getParentRoute: () => root, path: "/builder", component: lazyRouteComponent(() => import("@/builder/BuilderPage"), "BuilderPage"),
  validateSearch: (search: Record<string, unknown>): { config?: string } => (typeof search.config === "string" ? { config: search.config } : {}),
});
const platform = createRoute({
  getParentRoute: () => root, path: "/platform", component: lazyRouteComponent(() => import("@/platform/PlatformPage"), "PlatformPage"),
  validateSearch: (search: Record<string, unknown>): { tab?: string } => (typeof search.tab === "string" ? { tab: search.tab } : {}),
});

export const router = createRouter({ routeTree: root.addChildren([home, launch, sessions, session, builder, platform]), defaultPreload: "intent" });

declare module "@tanstack/react-router" {
  interface Register { router: typeof router }
}
