import { spawn, type ChildProcess } from 'node:child_process'

export interface ProgramOptions {
  readonly file: string
  readonly args: readonly string[]
  readonly withinMs: number
  /** Beside PATH and LANG. */
  readonly env?: Readonly<Record<string, string>>
  /** Gets the first lines of what the program prints; the rest is dropped, and that is told. */
  readonly onLine: (line: string) => void
}

/** `code` says in kebab-case how it ended; undefined when it ended well. */
export type ProgramFault = string | undefined

const maxOutputBytes = 16_384
const maxLineLength = 512
const termGraceMs = 2_000
const drainMs = 500
const environment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' }

/**
 * Runs a program to its end with nothing of our environment, in a process group of its own. At the deadline the group is
 * asked to end, and killed soon after; what it leaves behind when it ends by itself is killed as well.
 */
export async function runProgram({ file, args, withinMs, env, onLine }: ProgramOptions): Promise<ProgramFault> {
  const child = spawn(file, args, {
    cwd: '/',
    env: { ...environment, ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = new BoundedLines(onLine)
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes: Buffer) => {
      output.add(bytes)
    })
  }
  const drained = new Promise((resolve) => child.once('close', resolve))
  const end = await endOf(child, withinMs)
  killGroup(child, 'SIGKILL')
  await Promise.race([drained, new Promise((resolve) => setTimeout(resolve, drainMs).unref())])
  child.stdout.destroy()
  child.stderr.destroy()
  output.end()
  return end
}

async function endOf(child: ChildProcess, withinMs: number): Promise<ProgramFault> {
  const { promise, resolve } = Promise.withResolvers<ProgramFault>()
  let isLate = false
  const timers = [
    setTimeout(() => {
      isLate = true
      killGroup(child, 'SIGTERM')
    }, withinMs),
    setTimeout(() => {
      killGroup(child, 'SIGKILL')
    }, withinMs + termGraceMs),
    setTimeout(
      () => {
        resolve('timed-out') // not even SIGKILL ended it: it hangs in the kernel
      },
      withinMs + 2 * termGraceMs,
    ),
  ]
  child.once('error', (error) => {
    const code = 'code' in error ? String(error.code) : 'error'
    resolve(code === 'EACCES' ? 'not-executable' : `not-started-${code.toLowerCase()}`)
  })
  child.once('exit', (code, signal) => {
    if (isLate) resolve('timed-out')
    else if (signal !== null) resolve(`killed-by-${signal.toLowerCase()}`)
    else resolve(code === 0 ? undefined : `exit-code-${code ?? 'unknown'}`)
  })
  try {
    return await promise
  } finally {
    for (const timer of timers) clearTimeout(timer)
  }
}

function killGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch {
    // nobody of the group is left
  }
}

class BoundedLines {
  readonly #onLine: (line: string) => void
  #rest = ''
  #bytes = 0
  #dropped = 0

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine
  }

  add(bytes: Buffer): void {
    const kept = bytes.subarray(0, Math.max(0, maxOutputBytes - this.#bytes))
    this.#bytes += kept.length
    this.#dropped += bytes.length - kept.length
    const lines = (this.#rest + kept.toString('utf8')).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.#print(line)
  }

  end(): void {
    if (this.#rest !== '') this.#print(this.#rest)
    this.#rest = ''
    if (this.#dropped > 0) this.#onLine(`(${this.#dropped} bytes more are not shown)`)
  }

  #print(line: string): void {
    if (line.trim() !== '') this.#onLine(printable(line).slice(0, maxLineLength))
  }
}

/** One line, however it was made. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e\u00a0-\u2027\u2030-\ud7ff]/g, '?')
}
