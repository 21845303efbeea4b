import { describe, expect, it } from 'vitest';
import { contentTypeOf, contentTypeOfPart, guessContentType } from './content-type.ts';

describe('a type that is guessed by a name', () => {
  it.each([
    ['notes.txt', 'text/plain; charset=utf-8'],
    ['NOTES.MD', 'text/markdown; charset=utf-8'],
    ['table.csv', 'text/csv; charset=utf-8'],
    ['code.js', 'text/javascript; charset=utf-8'],
    // These tell their encoding themselves, or have one only.
    ['page.html', 'text/html'],
    ['style.css', 'text/css'],
    ['feed.xml', 'application/xml'],
    ['data.json', 'application/json'],
    ['drawing.svg', 'image/svg+xml'],
    ['film.mp4', 'video/mp4'],
    ['film.webm', 'video/webm'],
    ['film.mkv', 'video/x-matroska'],
    ['song.mp3', 'audio/mpeg'],
    ['song.opus', 'audio/ogg'],
    ['report.pdf', 'application/pdf'],
    ['README', 'application/octet-stream'],
    ['.txt', 'text/plain; charset=utf-8'],
    ['odd.name', 'application/octet-stream'],
  ])('is for %s %s', (name, type) => {
    expect(guessContentType(name)).toBe(type);
  });
});

it('is the given one wherever somebody chose one', () => {
  expect(contentTypeOf('text/plain', 'notes.txt')).toBe('text/plain');
  expect(contentTypeOf(' text/plain; charset=latin1 ', 'notes.txt')).toBe(
    'text/plain; charset=latin1',
  );
  expect(contentTypeOf('application/x-www-form-urlencoded', 'film.mp4')).toBe('video/mp4');
  expect(contentTypeOf(undefined, 'film.mp4')).toBe('video/mp4');
});

it('of a part of a form is what its sender says, and the encoding where that guessed as well', () => {
  expect(contentTypeOfPart('text/plain', 'notes.txt')).toBe('text/plain; charset=utf-8');
  expect(contentTypeOfPart('text/plain; charset=latin1', 'notes.txt')).toBe(
    'text/plain; charset=latin1',
  );
  expect(contentTypeOfPart('text/plain', 'notes.md')).toBe('text/plain');
  expect(contentTypeOfPart('text/html', 'page.html')).toBe('text/html');
  expect(contentTypeOfPart(undefined, 'notes.txt')).toBe('text/plain; charset=utf-8');
});
