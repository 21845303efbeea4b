import {
  type JudgementQuestion,
  type OpeningAnswer,
  type OpeningQuestion,
  parseFileId,
  parseFilePath,
  type ReadAnswer,
  type ReadQuestion,
  StoreError,
} from '@dfs/shared';
import { type Request, Router } from 'express';
import type { Front } from '../http/front.ts';
import { askerOf } from './asker.ts';
import { judgeRead } from './judge-read.ts';

const operations = ['read', 'list', 'write', 'delete', 'share', 'admin'] as const;

/** What nodes ask for the clients of their own public listeners (`shared/src/edge-messages.ts`), behind the cluster key. */
export function edgeRoutes(front: Front): Router {
  const router = Router({ caseSensitive: true, strict: true });

  router.post('/cluster/reads', async (request, response) => {
    response.json(await answerOf(front, questionOf(request)));
  });

  router.post('/cluster/openings', async (request, response) => {
    const { opening, fileId } = request.body as OpeningQuestion;
    const isOpen = await front.openings.isStillOpen(opening, parseFileId(fileId));
    response.json({ isOpen } satisfies OpeningAnswer);
  });

  router.post('/cluster/judgements', (request, response) => {
    const question = request.body as JudgementQuestion;
    mustBeAsked(question, operations.includes(question?.operation));
    const { principal } = askerOf(front, question, { method: 'GET', query: new URLSearchParams() });
    const { operation, path } = question;
    const target = path === undefined ? {} : { path: parseFilePath(path) };
    front.access.authorize(principal, operation, target);
    response.sendStatus(204);
  });
  return router;
}

function questionOf(request: Request): ReadQuestion {
  const question = request.body as ReadQuestion;
  const isRead = question?.method === 'GET' || question?.method === 'HEAD';
  mustBeAsked(question, isRead && typeof question.target === 'string');
  return question;
}

/** Whatever refuses the read is for the master to tell the client, in its own answer. */
async function answerOf(front: Front, question: ReadQuestion): Promise<ReadAnswer> {
  try {
    return await judgeRead(front, question);
  } catch (error) {
    if (error instanceof StoreError) return { kind: 'forward' };
    throw error;
  }
}

function mustBeAsked(question: ReadQuestion | JudgementQuestion, isComplete: boolean): void {
  const isAsked =
    isComplete &&
    typeof question.clientAddress === 'string' &&
    typeof question.headers === 'object' &&
    question.headers !== null;
  if (isAsked) return;
  throw new StoreError('invalid-request', 'The message is no question of a node.', {
    hint: 'Run the same version of dfs everywhere.',
  });
}
