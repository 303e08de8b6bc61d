import { Link } from "@tanstack/react-router";
import { Compass } from "lucide-react";
import { Empty } from "@/ui/empty";

export function NotFound() {
  return (
    <Empty icon={Compass} title="There is nothing at this address">
      <Link to="/sessions" className="text-accent-ink underline">See your sessions</Link>
    </Empty>
  );
}
