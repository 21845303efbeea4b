import { newClusterId } from '@dfs/shared';
import { expect, it } from 'vitest';
import { chooseCluster } from './choose-cluster.ts';

const [ours, theirs] = [newClusterId(), newClusterId()];
const claims = [
  { who: 'node attic', clusterId: ours },
  { who: 'node cellar', clusterId: theirs },
  { who: 'the backup', clusterId: ours },
];

it('takes the only cluster that is found', () => {
  expect(
    chooseCluster(
      claims.filter(({ clusterId }) => clusterId === ours),
      undefined,
    ),
  ).toBe(ours);
  expect(chooseCluster([], undefined)).toBeUndefined();
});

it('refuses to choose between several, and lists who is of which', () => {
  const refusal = expect.objectContaining({
    kind: 'conflict',
    message: `Several clusters were found: ${ours} (node attic, the backup); ${theirs} (node cellar).`,
  });
  expect(() => chooseCluster(claims, undefined)).toThrow(refusal);
  expect(chooseCluster(claims, theirs)).toBe(theirs);
});

it('refuses one that nobody is of', () => {
  expect(() => chooseCluster(claims, newClusterId())).toThrow(
    expect.objectContaining({ kind: 'not-found' }),
  );
});
