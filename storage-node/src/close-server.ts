import type { Server } from 'node:http';

/** What runs when the node stops may take this long to end. */
const finishWithinMs = 10_000;

/** Takes no more connections, and lets what runs come to its end. */
export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // A connection that falls idle later would stay for its keep-alive time.
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  const patience = setTimeout(() => server.closeAllConnections(), finishWithinMs);
  await closed;
  clearInterval(sweep);
  clearTimeout(patience);
}
