export function BuilderPage() { return <h1 className="p-4 text-xl font-semibold">Builder</h1>; }
