import { Link, Outlet } from "@tanstack/react-router";
import { Blocks, List, Rocket, ServerCog, type LucideIcon } from "lucide-react";
import { Suspense } from "react";
import { Commands } from "./Commands";
import { HostBanner } from "./HostBanner";
import { ThemeMenu } from "./ThemeMenu";
import { KeyMenu } from "./KeyMenu";

const places: { to: "/launch" | "/sessions" | "/builder" | "/platform"; title: string; icon: LucideIcon }[] = [
  { to: "/launch", title: "Launch", icon: Rocket },
  { to: "/sessions", title: "Sessions", icon: List },
  { to: "/builder", title: "Builder", icon: Blocks },
  { to: "/platform", title: "Platform", icon: ServerCog },
];

/** The frame of every page: a rail at the left, on a phone a bar at the bottom. */
export function Shell() {
  return (
    <div className="flex h-dvh flex-col sm:flex-row">
      <a href="#main" className="sr-only focus:not-sr-only focus:absolute focus:z-50 focus:bg-raised focus:p-2">Skip to content</a>
      <nav aria-label="Main" className="order-last flex shrink-0 items-stretch border-line bg-surface max-sm:border-t sm:order-first sm:w-[4.5rem] sm:flex-col sm:items-center sm:gap-1 sm:border-r sm:py-2">
        {places.map(({ to, title, icon: Icon }) => (
          <Link
            key={to} to={to}
            className="flex flex-1 flex-col items-center justify-center gap-0.5 rounded-md py-1.5 text-[11px] text-ink-2 hover:text-ink sm:size-14 sm:flex-none data-[status=active]:text-accent-ink sm:data-[status=active]:bg-accent-soft"
          >
            <Icon size={19} aria-hidden />{title}
          </Link>
        ))}
        <div className="flex items-center gap-1 max-sm:px-2 sm:mt-auto sm:flex-col"><Commands /><KeyMenu /><ThemeMenu /></div>
      </nav>
      <div className="flex min-h-0 min-w-0 flex-1 flex-col">
        <HostBanner />
        <main id="main" tabIndex={-1} className="min-h-0 flex-1 overflow-auto outline-none"><Suspense><Outlet /></Suspense></main>
      </div>
    </div>
  );
}
