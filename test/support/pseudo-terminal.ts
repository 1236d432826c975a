import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'

import { waitUntil } from './wait-until.ts'

export interface PseudoTerminalOptions {
  readonly command: readonly string[]
  /** Default: one that does not say how large it is, as serial consoles. */
  readonly size?: { readonly columns: number; readonly rows: number }
  readonly env?: Readonly<Record<string, string>>
}

/** A program at a terminal of its own, by script(1) of util-linux, and what that terminal shows. */
export class PseudoTerminal implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #exit: Promise<number | null>
  #output = ''

  constructor({ command, size, env = {} }: PseudoTerminalOptions) {
    const quoted = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')
    const sized = size === undefined ? '' : `stty cols ${size.columns} rows ${size.rows}; `
    const script = `tty; ${sized}exec ${quoted}`
    this.#child = spawn('script', ['-q', '-f', '-e', '-c', script, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, TERM: 'xterm', NO_COLOR: '', ...env },
    })
    this.#exit = once(this.#child, 'close').then(([code]) => code as number | null) // of ChildProcess
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text
    })
  }

  /** All that was written to it, escape sequences included. */
  get output(): string {
    return this.#output
  }

  /** The lines that it shows. */
  get screen(): readonly string[] {
    return screenOf(this.#output)
  }

  /** Its exit code, once it has ended. */
  get exited(): Promise<number | null> {
    return this.#exit
  }

  type(keys: string): void {
    this.#child.stdin?.write(keys)
  }

  async resize(columns: number, rows: number): Promise<void> {
    const device = /^\/dev\/\S+/m.exec(this.#output)?.[0] ?? ''
    await once(
      spawn('stty', ['-F', device, 'cols', String(columns), 'rows', String(rows)], { stdio: 'inherit' }),
      'close',
    )
  }

  async until(what: string, isShown: (screen: string) => boolean): Promise<string> {
    await waitUntil(what, () => isShown(this.screen.join('\n'))).catch((error: unknown) => {
      throw new Error(`the terminal shows:\n${this.screen.join('\n')}`, { cause: error })
    })
    return this.screen.join('\n')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGTERM')
    await this.#exit
  }
}

// eslint-disable-next-line no-control-regex
const piece = /\u001b\[(\??)([\d;]*)([A-Za-z])|\r|\n|[^\u001b\r\n]+/g

/** As much of ECMA-48 as is needed: places, erasing, text. */
function screenOf(output: string): readonly string[] {
  const lines: string[] = []
  let row = 0
  let column = 0
  for (const [text, mark, numbers = '', verb] of output.matchAll(piece)) {
    const [first = 1, second = 1] = numbers.split(';').map(Number)
    const line = lines[row] ?? ''
    if (verb === undefined) {
      if (text === '\r') column = 0
      else if (text === '\n') row += 1
      else {
        lines[row] = `${line.slice(0, column).padEnd(column)}${text}${line.slice(column + text.length)}`
        column += text.length
      }
    } else if (mark === '' && verb === 'H') [row, column] = [Math.max(1, first) - 1, Math.max(1, second) - 1]
    else if (mark === '' && verb === 'K') lines[row] = line.slice(0, column)
    else if (mark === '' && verb === 'J') lines.splice(first === 2 ? 0 : row)
  }
  return Array.from({ length: lines.length }, (_, index) => (lines[index] ?? '').trimEnd())
}
