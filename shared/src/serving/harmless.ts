/**
 * Sound and video as a browser plays them itself. No `+`, since `+xml` of any type is a document with scripts, and nothing in parameters that could make a
 * browser take the header for a list of types, of which it would believe the last.
 */
const played = /^(?:audio|video)\/[a-z0-9][a-z0-9.-]*(?:[ \t]*;[ \t]*[a-z0-9-]+=[a-z0-9.-]+)*$/i;

/**
 * The headers that keep what users upload from running as a page of this server: `sandbox` gives it an origin of its own and no scripts, `nosniff` keeps a
 * browser from guessing that some text is a page. Sound and video, which hold no scripts, go without the first: Chromium opens them in a player that asks for
 * the same address again, and would refuse itself in the name of that origin. And what such a page asks for must not tell others
 * its address, which may hold a signature.
 */
export const harmlessHeaders = (contentType: string): Readonly<Record<string, string>> =>
  played.test(contentType) ? withoutGuess : withoutScripts;

const withoutGuess = { 'Referrer-Policy': 'no-referrer', 'X-Content-Type-Options': 'nosniff' };
const withoutScripts = { 'Content-Security-Policy': 'sandbox', ...withoutGuess };
