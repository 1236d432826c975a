import { spawn, type ChildProcess } from 'node:child_process'

import { AgentError, errorCode } from '../../lib/errors.ts'
import { printableText } from '../events/printable-text.ts'

export interface JournalctlRun {
  /** Besides the output format. */
  readonly args: readonly string[]
  readonly onOutput: (chunk: Buffer) => void
  /** Called once, after all output, also after disposal; without an error when journalctl ended with 0. */
  readonly onEnd: (error: AgentError | undefined) => void
}

/** A running journalctl. Disposal ends it, and waits until it has ended, for some seconds at most. */
export interface Journalctl extends AsyncDisposable {
  /** What it said that may be wrong although it runs. */
  readonly complaint: string
  /** Output is left in the pipe, so that journalctl waits as well. */
  pause(): void
  resume(): void
}

/** Starts journalctl. What keeps it from running is told to `onEnd`. */
export type StartJournalctl = (run: JournalctlRun) => Journalctl

const termGraceMs = 2_000
const killGraceMs = 2_000
const maxComplaintBytes = 4_096

/** Starts `file` with nothing of the agent's environment but `path` to be found by. */
export function journalctlStarter(file = 'journalctl', path = '/usr/sbin:/usr/bin:/sbin:/bin'): StartJournalctl {
  return ({ args, onOutput, onEnd }) => {
    const child = spawn(file, ['--output=json', '--all', '--no-pager', ...args], {
      cwd: '/',
      env: { PATH: path, LANG: 'C', SYSTEMD_PAGER: '' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    return new RunningJournalctl(child, { onOutput, onEnd })
  }
}

/** What journalctl's messages mean for who runs the agent. */
export function hintOf(complaint: string): string | undefined {
  if (!/not seeing messages|insufficient permissions|Permission denied/i.test(complaint)) return undefined
  return (
    'let the agent read the journal: write "[Service]" and, on the next line, "SupplementaryGroups=systemd-journal" into ' +
    '/etc/systemd/system/panorama-agent.service.d/journal.conf, then run systemctl daemon-reload and systemctl restart panorama-agent'
  )
}

class RunningJournalctl implements Journalctl {
  readonly #child: ChildProcess
  readonly #ended = Promise.withResolvers<undefined>()
  readonly #onEnd: JournalctlRun['onEnd']
  #complaint = ''
  #hasEnded = false

  constructor(child: ChildProcess, { onOutput, onEnd }: Pick<JournalctlRun, 'onOutput' | 'onEnd'>) {
    this.#child = child
    this.#onEnd = onEnd
    child.stdout?.on('data', onOutput)
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#complaint = (this.#complaint + text).slice(-maxComplaintBytes)
    })
    child.on('error', (error) => {
      if (child.pid === undefined) this.#finish(notStarted(error))
    })
    child.once('close', (code, signal) => {
      this.#finish(this.#errorOf(code, signal))
    })
  }

  get complaint(): string {
    return printableText(this.#complaint.trim().split('\n').slice(-5).join('; '))
  }

  pause(): void {
    this.#child.stdout?.pause()
  }

  resume(): void {
    this.#child.stdout?.resume()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { stdout, stderr } = this.#child
    this.#child.kill('SIGTERM')
    stdout?.removeAllListeners('data').resume() // else the last of it keeps the pipe from closing
    const timers = [
      setTimeout(() => {
        this.#child.kill('SIGKILL')
      }, termGraceMs),
      setTimeout(() => {
        this.#ended.resolve(undefined) // it hangs in the kernel, or somebody else holds its pipes
      }, termGraceMs + killGraceMs),
    ]
    await this.#ended.promise
    for (const timer of timers) clearTimeout(timer)
    stdout?.destroy()
    stderr?.destroy()
    this.#child.unref()
  }

  #finish(error: AgentError | undefined): void {
    this.#ended.resolve(undefined)
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#onEnd(error)
  }

  #errorOf(code: number | null, signal: NodeJS.Signals | null): AgentError | undefined {
    if (code === 0) return undefined
    const how = signal ?? `exit code ${code ?? 'unknown'}`
    const hint = hintOf(this.complaint)
    return new AgentError(`journalctl ended with ${how}${this.complaint === '' ? '' : `: ${this.complaint}`}`, {
      retryable: hint === undefined,
      ...(hint === undefined ? {} : { hint }),
    })
  }
}

function notStarted(cause: unknown): AgentError {
  const isMissing = errorCode(cause) === 'ENOENT'
  return new AgentError('journalctl cannot be started', {
    retryable: !isMissing,
    cause,
    ...(isMissing ? { hint: 'install systemd, or remove the sources of kind "journal" from logs.sources' } : {}),
  })
}
