import contentDisposition from 'content-disposition';
import { expect, it } from 'vitest';
import { dispositionOf } from './disposition.ts';

it.each([
  ['report.pdf', 'filename="report.pdf"'],
  ['semi;colon=x.txt', 'filename="semi;colon=x.txt"'],
  ["it's (1)*.txt", `filename="it's (1)*.txt"`],
  ['a "b".txt', 'filename="a \\"b\\".txt"'],
  // An old reader would take it for an escape.
  ['100 %41.txt', `filename="100 %41.txt"; filename*=UTF-8''100%20%2541.txt`],
  ['Zoë.txt', `filename="Zo_.txt"; filename*=UTF-8''Zo%C3%AB.txt`],
  ['日本 😀.mp4', `filename="__ _.mp4"; filename*=UTF-8''%E6%97%A5%E6%9C%AC%20%F0%9F%98%80.mp4`],
  ["Ä'(1)*.txt", `filename="_'(1)*.txt"; filename*=UTF-8''%C3%84%27%281%29%2A.txt`],
  ['up\\..\\x.txt', 'filename="up_.._x.txt"'],
  ['tab\tand\u0085.txt', `filename="tab_and_.txt"; filename*=UTF-8''tab%09and%C2%85.txt`],
  [
    'x\r\nset-cookie: a=b',
    `filename="x__set-cookie: a=b"; filename*=UTF-8''x%0D%0Aset-cookie%3A%20a%3Db`,
  ],
  ['\ud800.txt', `filename="_.txt"; filename*=UTF-8''%EF%BF%BD.txt`],
])('names the file %j so that every reader saves it', (name, wanted) => {
  expect(dispositionOf(name, 'attachment')).toBe(`attachment; ${wanted}`);
  const { parameters } = contentDisposition.parse(dispositionOf(name, 'inline'));
  expect(parameters['filename']).toBe(name.toWellFormed().replaceAll('\\', '_'));
});
