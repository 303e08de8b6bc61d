export function PlatformPage() { return <h1 className="p-4 text-xl font-semibold">Platform</h1>; }
