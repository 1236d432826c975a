import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'

import { callAgent, socketPathIn } from '../../agent/status/status-client.ts'
import type { StatusDocument } from '../../agent/status/status-document.ts'

const root = join(import.meta.dirname, '..', '..')

export interface AgentProcessOptions {
  readonly configFile: string
  readonly runtimeFolder: string
  /** What runs; default the agent from this checkout. */
  readonly command?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly onLine?: (line: string) => void
}

export interface ExitReport {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

const stopWithinMs = 10_000

/** The agent as a process of its own, as systemd would run it. Disposing stops it, by force if need be. */
export class AgentProcess implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #exit: Promise<ExitReport>
  readonly #socketPath: string
  #output = ''

  constructor({ configFile, runtimeFolder, command, env = {}, onLine }: AgentProcessOptions) {
    const [executable, ...args] = command ?? agentCommand
    if (executable === undefined) throw new Error('there is no command to run')
    this.#socketPath = socketPathIn(runtimeFolder)
    this.#child = spawn(executable, [...args, 'run', '--config', configFile], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    })
    const { promise, resolve, reject } = Promise.withResolvers<ExitReport>()
    this.#child.once('error', reject)
    this.#child.once('close', (code, signal) => {
      resolve({ code, signal })
    })
    this.#exit = promise
    for (const stream of [this.#child.stdout, this.#child.stderr]) this.#follow(stream, onLine)
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** Everything that it printed so far. */
  get output(): string {
    return this.#output
  }

  /** How it ended, once it did. */
  async exited(): Promise<ExitReport> {
    return await this.#exit
  }

  /** Closes our end of its output, as a reader does that goes away. */
  closeOutput(): void {
    this.#child.stdout?.destroy()
    this.#child.stderr?.destroy()
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async status(): Promise<StatusDocument> {
    const { body } = await callAgent({ socketPath: this.#socketPath, method: 'GET', path: '/status', withinMs: 5_000 })
    return body as StatusDocument // the agent's own document
  }

  /** Polls the status until `isReached`; throws with the last status and the output when that takes too long. */
  async until(isReached: (status: StatusDocument) => boolean, withinMs = 60_000): Promise<StatusDocument> {
    const endMs = performance.now() + withinMs
    let last: unknown
    while (performance.now() < endMs) {
      const hasEnded = this.#child.exitCode !== null || this.#child.signalCode !== null
      if (hasEnded) throw new Error(`the agent ended early\n${this.#output}`)
      try {
        const status = await this.status()
        if (isReached(status)) return status
        last = status
      } catch (error) {
        last = error
      }
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error(`the agent did not get there; ${JSON.stringify(last, null, 1)}\n${this.#output}`)
  }

  /** SIGTERM; resolves with how it ended. */
  async stop(): Promise<ExitReport> {
    this.kill('SIGTERM')
    const timer = setTimeout(() => {
      this.kill('SIGKILL')
    }, stopWithinMs)
    try {
      return await this.#exit
    } finally {
      clearTimeout(timer)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.stop()
  }

  #follow(stream: NodeJS.ReadableStream | null, onLine: ((line: string) => void) | undefined): void {
    let rest = ''
    stream?.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) onLine?.(line)
    })
  }
}

/** The agent from this checkout, on the locked runtime. */
export const agentCommand = [process.execPath, '--disable-warning=ExperimentalWarning', join(root, 'agent', 'main.ts')]
