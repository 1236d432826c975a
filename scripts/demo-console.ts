import { once } from 'node:events'

const dim = '\u001b[2m'
const bold = '\u001b[1m'
const plain = '\u001b[0m'
const clearLine = '\r\u001b[2K'
const frames = ['-', '\\', '|', '/']

/** What the demo prints: headings, facts, and long work with a moving sign where a terminal is there. */
export class DemoConsole {
  readonly #terminal = process.stdout.isTTY

  heading(text: string): void {
    this.#write(`\n${this.#terminal ? bold : ''}${text}${this.#terminal ? plain : ''}\n`)
  }

  fact(text: string): void {
    this.#write(`  ${text}\n`)
  }

  /** A line that the agent printed. */
  agentLine(line: string): void {
    this.#write(this.#terminal ? `${dim}  | ${line}${plain}\n` : `  | ${line}\n`)
  }

  /** Shows that `work` goes on, then what came of it and how long it took. */
  async step<T>(text: string, work: () => Promise<T>): Promise<T> {
    const startMs = performance.now()
    let frame = 0
    const timer = setInterval(() => {
      frame += 1
      if (this.#terminal) process.stdout.write(`${clearLine}  ${frames[frame % frames.length] ?? ''} ${text} ...`)
    }, 120)
    try {
      const result = await work()
      this.#write(`  ok  ${text} (${((performance.now() - startMs) / 1000).toFixed(1)} s)\n`)
      return result
    } catch (error) {
      this.#write(`  NOT ${text}\n`)
      throw error
    } finally {
      clearInterval(timer)
    }
  }

  /** Waits for a key; answers at once where there is no terminal. Ctrl-C and q end the demo. */
  async key(text: string, signal: AbortSignal): Promise<void> {
    if (!this.#terminal || !process.stdin.isTTY) return
    this.#write(`\n${bold}Press a key: ${text}${plain} (q ends the demo)\n`)
    process.stdin.setRawMode(true).resume()
    try {
      const [data] = (await once(process.stdin, 'data', { signal })) as [Buffer]
      if (['q', '\u0003'].includes(data.toString())) throw new DemoEnded()
    } finally {
      process.stdin.setRawMode(false).pause()
    }
  }

  #write(text: string): void {
    process.stdout.write(this.#terminal ? `${clearLine}${text}` : text)
  }
}

/** The user has seen enough. */
export class DemoEnded extends Error {
  override readonly name = 'DemoEnded'
}
