import type { Stats } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { vi } from 'vitest'
import * as z from 'zod'

import type { Config } from '../../../agent/config/config-schema.ts'
import { createLog, type LogLine } from '../../../agent/lib/log.ts'
import type { DeliveredSource, LogSourceContext } from '../../../agent/logs/delivered-source.ts'
import { LogRing } from '../../../agent/logs/log-ring.ts'
import { createLogSources } from '../../../agent/logs/log-sources.ts'
import { createLogWorker, type LogSettings, type LogWorker } from '../../../agent/logs/log-worker.ts'
import { FakeLogDestination } from '../../support/fake-log-destination.ts'

export const group = '/aws/panorama/devices/test'
const device = { id: 'test', name: 'dock-1', thing: 'thing-1' }

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
  isClockKnown = true
  pattern = '*.log'
  settings: LogSettings & { readonly maxBacklogBytes: number } = {
    flushSeconds: 15,
    maxBacklogBytes: 1_073_741_824,
    maxBacklogHours: 312,
    minLevelWhenBehind: 'debug',
  }
  moreSources: (context: LogSourceContext) => readonly DeliveredSource[] = () => []
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
    return (
      this.otherSources ?? [
        { kind: 'file', path: this.path(this.pattern), group, stream: '{file}', timestamps: 'auto', timeZone: 'local' },
      ]
    )
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
    const { maxBacklogBytes, ...config } = this.settings
    const logs = createLogWorker({
      config,
      sources: (context) => [
        ...createLogSources({ config: { sources: this.sources, maxBacklogBytes }, device }, context),
        ...this.moreSources(context),
      ],
      group,
      destination: this.destination,
      ring: this.ring,
      folder: join(this.root, 'state', 'logs'),
      cursorCopy: join(this.root, 'log-cursors.json'),
      cloudNow: () => Date.now() + this.offsetMs,
      deviceClock: () => ({ offsetMs: this.offsetMs, isKnown: this.isClockKnown }),
      log: log.child({ worker: 'logs' }),
    })
    this.#running = { logs, stop, ended: logs.worker.supervise(stop.signal) }
  }

  /** One look at the files, after the one that may be going on. */
  async look(): Promise<void> {
    await this.logs.worker.requestPass().catch(() => undefined)
  }

  /** Lets `ms` pass, then looks until what became due has arrived, one batch a second. */
  async pass(ms = 0): Promise<void> {
    vi.advanceTimersByTime(ms)
    await this.look()
    await this.look()
    if (ms === 0) return
    for (let second = 0; second < 5; second += 1) {
      vi.advanceTimersByTime(1_000)
      await this.look()
      await this.look()
    }
  }

  /** Gap records in a stream. */
  gaps(stream: string): readonly Readonly<Record<string, unknown>>[] {
    return recordsIn(this.sent(stream), 'gap')
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

  async statCursors(): Promise<Stats> {
    return await stat(join(this.root, 'state', 'logs', 'cursors.json'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.crash()
    await rm(this.root, { recursive: true })
  }
}

/** The agent's own records of a kind among messages, parsed. */
export function recordsIn(messages: readonly string[], kind: string): readonly Readonly<Record<string, unknown>>[] {
  return messages
    .filter((message) => message.startsWith(`{"panoramaAgent":"${kind}"`))
    .map((message) => z.record(z.string(), z.unknown()).parse(JSON.parse(message)))
}

/** Fakes timers and clocks but not what file access needs. */
export function useFakeClock(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] })
}
