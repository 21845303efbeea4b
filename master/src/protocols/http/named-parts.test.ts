import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { boundaryOf, NamedParts, partNameOf } from './named-parts.ts';

const part = (head: string, content: string) => `--b\r\n${head}\r\n\r\n${content}\r\n`;
const named = (name: string, content: string) =>
  part(`Content-Disposition: form-data; name="${name}"`, content);
const nameless = (content: string) => part('Content-Disposition: form-data', content);
const end = '--b--\r\n';

async function filtered(body: string, sizeOfChunks: number): Promise<string> {
  const bytes = Buffer.from(body);
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += sizeOfChunks) {
    chunks.push(bytes.subarray(at, at + sizeOfChunks));
  }
  const parts = new NamedParts('b', (name) => name !== undefined && name !== 'unknown');
  return (await buffer(Readable.from(chunks).pipe(parts))).toString();
}

describe('the parts of a form', () => {
  const almost = 'x\r\n--\r\n--a\r\n\r\n-b\r\n';
  it.each([
    ['as they are', named('a', '1') + named('b', '2') + end, named('a', '1') + named('b', '2')],
    ['without one that has no name', named('a', '1') + nameless('') + end, named('a', '1')],
    ['without one at the beginning', nameless('x') + named('a', '1') + end, named('a', '1')],
    [
      'without one between',
      named('a', '1') + nameless('x') + named('c', '') + end,
      named('a', '1') + named('c', ''),
    ],
    ['without one that has an empty name', named('', 'x') + named('a', '1') + end, named('a', '1')],
    [
      'without one that is not wanted',
      named('unknown', 'x') + named('a', '1') + end,
      named('a', '1'),
    ],
    [
      'without one that has no headers',
      `--b\r\n\r\nx\r\n${named('a', '1')}${end}`,
      named('a', '1'),
    ],
    [
      'with what looks like a delimiter',
      named('a', almost) + nameless(almost) + end,
      named('a', almost),
    ],
    ['none of them', nameless('x') + end, ''],
  ])('go on %s, however they are cut', async (_name, body, rest) => {
    for (let size = 1; size <= body.length; size += 1) {
      expect(await filtered(body, size)).toBe(rest + end);
    }
  });

  it('keep a preamble, an epilogue, and a form that breaks off', async () => {
    const whole = `before\r\n${named('a', '1')}${end}after`;
    expect(await filtered(whole, 3)).toBe(whole);
    const broken = named('a', 'the beginning').slice(0, -2);
    expect(await filtered(broken, 4)).toBe(broken);
  });

  it('are refused when their headers never end', async () => {
    await expect(filtered(`--b\r\nA: ${'x'.repeat(20_000)}`, 1_000)).rejects.toMatchObject({
      kind: 'invalid-request',
    });
  });
});

it.each([
  ['Content-Disposition: form-data; name="file"; filename="v.mp4"', 'file'],
  ['content-disposition:form-data;NAME=file', 'file'],
  ['A: b\r\nContent-Disposition: form-data;\r\n name="file"\r\nC: d', 'file'],
  ['Content-Disposition: form-data; filename="a; name=b"; name="c\\"d"', 'c"d'],
  ['Content-Disposition: form-data; filename="name=b"', undefined],
  ['Content-Disposition: form-data; name=""', undefined],
  ['Content-Disposition: form-data', undefined],
  ['Content-Disposition: attachment; name="file"', undefined],
  ['X: name="file"', undefined],
])('the part %j has the name %s', (head, name) => {
  expect(partNameOf(head)).toBe(name);
});

it.each([
  ['multipart/form-data; boundary=abc', 'abc'],
  ['Multipart/Form-Data; charset=utf-8; boundary="a b"', 'a b'],
  ['multipart/form-data', undefined],
  ['application/json; boundary=abc', undefined],
  [undefined, undefined],
])('the content type %j has the boundary %s', (type, boundary) => {
  expect(boundaryOf(type)).toBe(boundary);
});
