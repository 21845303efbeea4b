import { createServer } from 'node:net';

/** Whether 127.0.0.1 has this port free now. */
export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      server.close(() => resolve(true));
    });
  });
}

/** The port where it is free, else 0, by which the program takes a free one. */
export const portOrAny = async (port: number) => ((await isPortFree(port)) ? port : 0);
