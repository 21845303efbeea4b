import { describe, expect, it } from 'vitest';
import { harmlessHeaders } from './harmless.ts';

const isSandboxed = (type: string) =>
  harmlessHeaders(type)['Content-Security-Policy'] === 'sandbox';

describe('what users upload', () => {
  it.each([
    'video/mp4',
    'Video/WebM',
    'audio/x-flac',
    'video/vnd.dlna.mpeg-tts',
    'audio/ogg; codecs=opus',
    'video/mp4;codecs=avc1.42E01E ; profile=0',
  ])('is played as %s by a browser that is pointed at it', (type) => {
    expect(isSandboxed(type)).toBe(false);
    expect(harmlessHeaders(type)).toMatchObject({ 'X-Content-Type-Options': 'nosniff' });
  });

  it.each([
    'text/html',
    'application/xhtml+xml',
    'image/svg+xml',
    'text/plain',
    'application/octet-stream',
    '',
    // Documents with scripts, whatever they begin with.
    'video/x+xml',
    'audio/mp4+xml; charset=utf-8',
    // A browser believes the last of a list.
    'video/mp4,text/html',
    'video/mp4; x=, text/html',
    'video/mp4; x=",text/html',
    'video/mp4; x="a",text/html',
    'video/mp4; x=y text/html',
    'video/mp4\ntext/html',
    ' video/mp4',
    'video/',
    'video/mp4;',
    'xvideo/mp4',
  ])('runs no scripts as %j', (type) => {
    expect(isSandboxed(type)).toBe(true);
    expect(harmlessHeaders(type)['X-Content-Type-Options']).toBe('nosniff');
  });
});
