import { PassThrough } from 'node:stream'

import { expect, test } from 'vitest'

import { TerminalScreen } from '../../../agent/lib/terminal-screen.ts'

/** What was written since the call before. */
function written(output: PassThrough): string {
  const chunks: Buffer[] = []
  for (let chunk = read(output); chunk !== null; chunk = read(output)) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

function read(output: PassThrough): Buffer | null {
  return output.read() as Buffer | null // no encoding is set
}

test('writes only the lines that changed, and clears what is left over', () => {
  const output = new PassThrough()
  using screen = new TerminalScreen(output)
  screen.draw(['one', 'two', 'three'])
  written(output)
  screen.draw(['one', 'TWO'])
  expect(written(output)).toBe('\u001b[2;1HTWO\u001b[K\u001b[3;1H\u001b[J')
  screen.draw(['one', 'TWO'])
  expect(written(output)).toBe('')
})

test('draws everything anew when the terminal may show something else', () => {
  const output = new PassThrough()
  using screen = new TerminalScreen(output)
  screen.draw(['one'])
  written(output)
  screen.forget()
  screen.draw(['one'])
  expect(written(output)).toBe('\u001b[H\u001b[2J\u001b[1;1Hone\u001b[K')
})

test('leaves the terminal as it was: the cursor, the breaking of lines, the screen', () => {
  const output = new PassThrough()
  const screen = new TerminalScreen(output)
  screen[Symbol.dispose]()
  expect(written(output)).toBe('\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[H\u001b[J\u001b[?7h\u001b[?25h\u001b[?1049l')
})
