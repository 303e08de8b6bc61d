import { ListTodo } from "lucide-react";
import { Empty } from "@/ui/empty";
import { Checklist } from "../tools/Checklist";
import { useSession } from "../useSession";

/** The agent's task list, with how far it is. */
export function TasksPanel({ sessionId }: { sessionId: string }) {
  const todos = useSession(sessionId, (s) => s.todos);
  if (todos.length === 0) return <Empty icon={ListTodo} title="No tasks yet">The agent keeps a list here when a job has more than one step.</Empty>;
  const done = todos.filter((t) => t.status === "completed").length;
  const current = todos.find((t) => t.status === "in_progress");
  return (
    <div className="flex flex-col gap-3 p-4">
      <div>
        <p className="text-sm font-medium">{done === todos.length ? "All done" : `${done} of ${todos.length} done`}{current ? <span className="font-normal text-ink-2"> · {current.activeForm || current.content}</span> : null}</p>
        <div role="progressbar" aria-label="Tasks done" aria-valuemin={0} aria-valuemax={todos.length} aria-valuenow={done} className="mt-2 h-1.5 overflow-hidden rounded-full bg-sunken">
          <div className="h-full rounded-full bg-good transition-[width]" style={{ width: `${(done / todos.length) * 100}%` }} />
        </div>
      </div>
      <Checklist todos={todos} />
    </div>
  );
}
