// Writes standard input to standard output, in upper case. An empty input is an error.

import stderr from 'wasi:cli/stderr@0.2.0';
import stdin from 'wasi:cli/stdin@0.2.0';
import stdout from 'wasi:cli/stdout@0.2.0';

// What the interface takes at once.
const MOST = 4096;

export const run = {
  run() {
    const text = readAll(stdin.getStdin());
    if (text === '') {
      writeAll(stderr.getStderr(), 'there is nothing to write\n');
      throw undefined;
    }
    writeAll(stdout.getStdout(), text.toUpperCase());
  },
};

// The engine has no TextDecoder, and its text is none of bytes: these are what `escape` was made for, once.
function readAll(stream) {
  let bytes = '';
  for (;;) {
    try {
      bytes += String.fromCharCode(...stream.blockingRead(MOST));
    } catch {
      // The end is an error of the kind `closed`.
      return decodeURIComponent(escape(bytes));
    }
  }
}

function writeAll(stream, text) {
  const bytes = Uint8Array.from(unescape(encodeURIComponent(text)), (byte) => byte.charCodeAt(0));
  for (let at = 0; at < bytes.length; at += MOST) {
    stream.blockingWriteAndFlush(bytes.subarray(at, at + MOST));
  }
}
