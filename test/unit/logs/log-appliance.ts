import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { vi } from 'vitest'

import type { Config } from '../../../agent/config/config-schema.ts'
import { createLog, type LogLine } from '../../../agent/lib/log.ts'
import { LogRing } from '../../../agent/logs/log-ring.ts'
import { createLogWorker, type LogWorker } from '../../../agent/logs/log-worker.ts'
import { FakeLogDestination } from '../../support/fake-log-destination.ts'

export const group = '/aws/panorama/devices/test'

/**
 * A temporary folder with a `logs` folder, a log worker over `logs/*.log`, and a fake cloud. The global timers must be
 * fake before it is made (see useFakeClock).
 */
export class LogAppliance implements AsyncDisposable {
  readonly root: string
  readonly destination = new FakeLogDestination()
  readonly lines: LogLine[] = []
  ring = new LogRing()
  /** How far the cloud's clock is ahead. */
  offsetMs = 0
  pattern = '*.log'
  otherSources: Config['logs']['sources'] | undefined
  #running: { readonly logs: LogWorker; readonly stop: AbortController; readonly ended: Promise<void> } | undefined

  private constructor(root: string) {
    this.root = root
  }

  static async open(): Promise<LogAppliance> {
    const appliance = new LogAppliance(await mkdtemp(join(tmpdir(), 'log-appliance-')))
    await mkdir(join(appliance.root, 'logs'))
    return appliance
  }

  get logs(): LogWorker {
    if (this.#running === undefined) throw new Error('the worker is not running')
    return this.#running.logs
  }

  /** Default: one of `pattern`. */
  get sources(): Config['logs']['sources'] {
    return this.otherSources ?? [{ kind: 'file', path: this.path(this.pattern), group, stream: '{file}' }]
  }

  path(name: string): string {
    return join(this.root, 'logs', name)
  }

  sent(stream: string): readonly string[] {
    return this.destination.messages({ group, stream })
  }

  puts(stream: string): number {
    return this.destination.calls.filter((call) => call === `put ${stream}`).length
  }

  start(): void {
    const stop = new AbortController()
    const log = createLog({ level: 'debug', sinks: [this.ring.sink, (line) => this.lines.push(line)] })
    const logs = createLogWorker({
      config: { flushSeconds: 15, level: 'info', sources: this.sources },
      group,
      device: { id: 'test', name: 'dock-1', thing: 'thing-1' },
      destination: this.destination,
      ring: this.ring,
      folder: join(this.root, 'state', 'logs'),
      cloudNow: () => Date.now() + this.offsetMs,
      log: log.child({ worker: 'logs' }),
    })
    this.#running = { logs, stop, ended: logs.worker.supervise(stop.signal) }
  }

  /** One look at the files, after the one that may be going on. */
  async look(): Promise<void> {
    await this.logs.worker.requestPass().catch(() => undefined)
  }

  /** Lets `ms` pass, then looks twice, so that a batch that became due has arrived. */
  async pass(ms = 0): Promise<void> {
    vi.advanceTimersByTime(ms)
    await this.look()
    await this.look()
  }

  /** Ends the worker in order, with its last flush. */
  async stop(): Promise<void> {
    const running = this.#running
    if (running === undefined) return
    running.stop.abort()
    await running.ended
    await running.logs.flushOnStop(new AbortController().signal)
    await this.crash()
  }

  /** Ends the worker without a last flush and without saving its cursors. */
  async crash(): Promise<void> {
    const running = this.#running
    this.#running = undefined
    running?.stop.abort()
    await running?.ended
    await running?.logs[Symbol.asyncDispose]()
  }

  async readCursors(): Promise<unknown> {
    return JSON.parse(await readFile(join(this.root, 'state', 'logs', 'cursors.json'), 'utf8'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.crash()
    await rm(this.root, { recursive: true })
  }
}

/** Fakes timers and clocks but not what file access needs. */
export function useFakeClock(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] })
}
