import { StoreError } from '@dfs/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestPublicServer } from '../testing/test-public-server.ts';
import { multistatusOf } from './multistatus.ts';

describe('a multistatus', () => {
  it('names each part that failed, with its status and why', () => {
    const xml = multistatusOf([
      { url: '/fs/a%20b', error: new StoreError('no-room', 'No room for <it> & "that".') },
      { url: '/fs/c', error: new Error('secret of the database') },
    ]);
    expect(xml).toContain('<D:href>/fs/a%20b</D:href><D:status>HTTP/1.1 507 Insufficient Storage');
    expect(xml).toContain('No room for &lt;it&gt; &amp; &quot;that&quot;.');
    expect(xml).toContain('<D:href>/fs/c</D:href><D:status>HTTP/1.1 500 Internal Server Error');
    expect(xml).not.toContain('secret');
  });

  it('holds no character that XML cannot', () => {
    const message = 'a\0b\u001b[2J\u0007\ud800c\ufffe\uffff\u0085\td\r\n\u{1f600}';
    const xml = multistatusOf([{ url: '/fs/x', error: new StoreError('conflict', message) }]);
    const shown = 'a\ufffdb\ufffd[2J\ufffd\ufffdc\ufffd\ufffd\ufffd\td\r\n\u{1f600}';
    expect(xml).toContain(`<D:responsedescription>${shown}</D:responsedescription>`);
  });
});

describe('a COPY of which parts fail', () => {
  let server: TestPublicServer;
  beforeAll(async () => {
    server = await new TestPublicServer().start();
  });
  afterAll(() => server.stop());

  it('does the rest and answers 207', async () => {
    await server.files.add('/d/good', 'x');
    await server.files.add('/d/bad & ugly', 'x');
    const error = new StoreError('conflict', 'Its blob is being deleted.');
    server.files.copyFaults.set('/c/bad & ugly', error);
    const answer = await server.raw('COPY /fs/d/', { headers: ['Destination: /fs/c'] });
    expect([answer.status, answer.headers['content-type']]).toEqual([
      207,
      'application/xml; charset=utf-8',
    ]);
    const text = answer.body.toString();
    expect(text).toContain(
      '<D:href>/fs/c/bad%20%26%20ugly</D:href><D:status>HTTP/1.1 409 Conflict',
    );
    expect(text).not.toContain('good');
    expect((await server.raw('GET /fs/c/good')).status).toBe(200);
    expect((await server.raw('GET /fs/c/bad%20%26%20ugly')).status).toBe(404);
  });
});
