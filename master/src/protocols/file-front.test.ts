import { TestCluster } from '../files/test-cluster.ts';
import { describeFileFront } from './testing/file-front-suite.ts';
import { TestPublicServer } from './testing/test-public-server.ts';

describeFileFront('the public port over a tree in memory', async () => {
  const server = await new TestPublicServer().start();
  return { server, stop: () => server.stop() };
});

describeFileFront('the public port over the file service', async () => {
  const cluster = await TestCluster.open();
  const server = await new TestPublicServer({ store: cluster }).start();
  return {
    server,
    async stop() {
      await server.stop();
      await cluster.close();
    },
  };
});
