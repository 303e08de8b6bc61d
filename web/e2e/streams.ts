import type { Page } from "playwright-core";

/** One connection to a session's events: from which number on it was asked for, and the numbers that came, in their order. */
export interface Connection { after: number; numbers: number[] }

/** Has a page keep what its streams of events bring, from its next load on; connections() tells it. */
export async function record(page: Page) {
  await page.addInitScript(() => {
    const kept: { after: number; numbers: number[] }[] = [];
    Object.assign(window, { connectionsOfTheTest: kept });
    const real = window.fetch.bind(window);
    window.fetch = async (input, init) => {
      const response = await real(input, init);
      const url = input instanceof Request ? input.url : String(input);
      if (!url.includes("/events?") || !response.body) return response;
      const connection = { after: Number(new Headers(init?.headers).get("Last-Event-ID") ?? 0), numbers: [] as number[] };
      kept.push(connection);
      const [ours, theirs] = response.body.tee();
      void (async () => {
        let rest = "";
        // The page ends it whenever it likes, which is the end for us, too.
        try {
          for (const reader = ours.pipeThrough(new TextDecoderStream()).getReader(); ;) {
            const { done, value } = await reader.read();
            if (done) return;
            const lines = (rest + value).split("\n");
            rest = lines.pop() ?? "";
            for (const line of lines) {
              if (!line.startsWith("data: {")) continue;
              const { event_id } = JSON.parse(line.slice(6)) as { event_id?: number };
              if (event_id !== undefined) connection.numbers.push(event_id);
            }
          }
        } catch { /* broken off */ }
      })();
      return new Response(theirs, { status: response.status, statusText: response.statusText, headers: response.headers });
    };
  });
}

/** The connections since the page was loaded. */
export async function connections(page: Page): Promise<Connection[]> {
  return page.evaluate(() => (window as unknown as { connectionsOfTheTest: Connection[] }).connectionsOfTheTest);
}
