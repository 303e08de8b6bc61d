import { CircleCheck, CircleDashed, CircleDot } from "lucide-react";
import { cx } from "@/ui/cx";
import type { Todo } from "../types";

const icons = { pending: CircleDashed, in_progress: CircleDot, completed: CircleCheck } as const;
const words = { pending: "to do", in_progress: "in progress", completed: "done" } as const;

/** The agent's task list. */
export function Checklist({ todos, className }: { todos: readonly Todo[]; className?: string }) {
  return (
    <ul className={cx("flex flex-col gap-1 text-sm", className)}>
      {todos.map((todo, i) => {
        const Icon = icons[todo.status];
        return (
          <li key={i} className="flex items-start gap-2">
            <Icon size={16} role="img" aria-label={words[todo.status]} className={cx("mt-0.5 shrink-0", todo.status === "completed" ? "text-good" : todo.status === "in_progress" ? "text-accent-ink" : "text-ink-3")} />
            <span className={cx("min-w-0 break-words", todo.status === "completed" && "text-ink-3 line-through", todo.status === "in_progress" && "font-medium")}>
              {todo.status === "in_progress" ? todo.activeForm || todo.content : todo.content}
            </span>
          </li>
        );
      })}
    </ul>
  );
}

/** The todos within a tool's input, as far as they are some. */
export function todosOf(value: unknown): Todo[] {
  if (!Array.isArray(value)) return [];
  return (value as Partial<Todo>[]).filter((t) => typeof t.content === "string" && t.status !== undefined && t.status in icons) as Todo[];
}
