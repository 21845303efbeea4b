import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from './guard.ts';

/** False: tests that need a video are skipped (Debian: `apt-get install ffmpeg`). */
export const isVideoMakerInstalled = spawnSync('ffmpeg', ['-version']).status === 0;

const pieceSeconds = 10;

/** A moving picture with a tone, H.264 and AAC in MP4, with its table of contents in front, at about 90 kB a second. Ten seconds are drawn and then repeated. */
export function makeVideo(seconds: number): Buffer {
  const folder = temporaryDirectory('video');
  const [piece, whole] = [join(folder, 'piece.mp4'), join(folder, 'whole.mp4')];
  ffmpeg(
    ['-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=25,noise=alls=40:allf=t'],
    ['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=44100', '-t', String(pieceSeconds)],
    ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-g', '50'],
    ['-b:v', '600k', '-maxrate', '600k', '-bufsize', '600k', '-c:a', 'aac', '-b:a', '64k', piece],
  );
  const repeats = String(Math.ceil(seconds / pieceSeconds) - 1);
  ffmpeg(['-stream_loop', repeats, '-i', piece], ['-c', 'copy', '-movflags', '+faststart', whole]);
  return readFileSync(whole);
}

function ffmpeg(...args: readonly string[][]): void {
  const made = spawnSync('ffmpeg', ['-v', 'error', '-nostdin', ...args.flat()]);
  if (made.status !== 0) throw new Error(`ffmpeg failed:\n${made.stderr}`);
}
