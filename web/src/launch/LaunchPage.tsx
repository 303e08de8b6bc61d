export function LaunchPage() { return <h1 className="p-4 text-xl font-semibold">Launch</h1>; }
