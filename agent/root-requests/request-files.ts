import { randomUUID } from 'node:crypto'
import { watch } from 'node:fs'
import { readdir, readFile, rm, unlink } from 'node:fs/promises'
import { join } from 'node:path'

import * as z from 'zod'

import { linkedAbort } from '../lib/abort.ts'
import { writeFileAtomic } from '../lib/atomic-file.ts'
import { makeFolder } from '../lib/durable-files.ts'
import { AgentError, errorCode } from '../lib/errors.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { sleep } from '../lib/sleep.ts'
import type { RootAnswer, RootRequest, RootRequests } from './root-requests.ts'

export interface RequestFilesOptions {
  /** `requests/` and `answers/` are in it, and made where they are not there. */
  readonly runtimeFolder: string
  /** Instead of the deadline of each verb. */
  readonly withinMs?: number
  /** How often to look for an answer that the file system did not tell of. Default 1 s. */
  readonly pollMs?: number
}

const answerSchema = z.strictObject({ result: z.enum(['done', 'refused', 'failed']), code: z.string().max(64) })

/** Each longer than root's own for the same thing. */
const deadlinesMs = {
  reboot: 30_000,
  'restart-unit': 120_000,
  'run-hook': 330_000,
  'set-clock': 30_000,
  'install-update': 330_000,
  'confirm-update': 30_000,
} as const
const argumentPattern = /^[A-Za-z0-9@._:-]{0,128}$/
const updatePattern = /^[A-Za-z0-9@._:~+-]{0,160}$/
const maxInFlight = 8

/**
 * Requests as files: `<runtime>/requests/<id>.json`, which panorama-agent-request.path watches, and the answer in
 * `<runtime>/answers/<id>.json`. Whatever lies there and belongs to no request in flight is of an earlier run, and goes.
 */
export class RequestFiles implements RootRequests {
  readonly #options: RequestFilesOptions
  readonly #requests: string
  readonly #answers: string
  readonly #inFlight = new Set<string>()

  constructor(options: RequestFilesOptions) {
    this.#options = options
    this.#requests = join(options.runtimeFolder, 'requests')
    this.#answers = join(options.runtimeFolder, 'answers')
  }

  readonly request = async ({ verb, argument = '' }: RootRequest, signal: AbortSignal): Promise<RootAnswer> => {
    signal.throwIfAborted()
    const isOfUpdate = verb === 'install-update' || verb === 'confirm-update'
    if (!(isOfUpdate ? updatePattern : argumentPattern).test(argument))
      throw new AgentError(`root cannot be asked for ${verb} with that argument`)
    if (this.#inFlight.size >= maxInFlight) throw new AgentError('too many requests to root', { retryable: true })
    const name = `${randomUUID()}.json`
    this.#inFlight.add(name)
    try {
      await this.#prepare()
      await writeFileAtomic(join(this.#requests, name), JSON.stringify({ verb, argument }), { mode: 0o600 })
      const answer = await this.#waitFor(name, this.#options.withinMs ?? deadlinesMs[verb], signal)
      return answer ?? (await this.#giveUp(name))
    } finally {
      await this.#clear(name)
      this.#inFlight.delete(name)
    }
  }

  async #prepare(): Promise<void> {
    for (const folder of [this.#requests, this.#answers]) {
      await makeFolder(folder, 0o700)
      for (const name of await readdir(folder)) {
        const isOld = !this.#inFlight.has(name) && name.endsWith('.json')
        if (isOld) await rm(join(folder, name), { force: true, recursive: true })
      }
    }
  }

  /** Undefined when the time is up. */
  async #waitFor(name: string, withinMs: number, signal: AbortSignal): Promise<RootAnswer | undefined> {
    const endMs = monotonicMs() + withinMs
    let wake = (): void => undefined
    using _ = watchFolder(this.#answers, () => {
      wake()
    })
    while (monotonicMs() < endMs) {
      using rest = linkedAbort(signal)
      wake = () => {
        rest.controller.abort()
      }
      const answer = await this.#read(name)
      if (answer !== undefined) return answer
      const restMs = Math.min(this.#options.pollMs ?? 1_000, Math.max(0, endMs - monotonicMs()))
      await sleep(restMs, rest.controller.signal).catch(() => undefined)
      signal.throwIfAborted()
    }
    return undefined
  }

  async #read(name: string): Promise<RootAnswer | undefined> {
    try {
      return answerSchema.parse(JSON.parse(await readFile(join(this.#answers, name), 'utf8')))
    } catch (error) {
      return errorCode(error) === 'ENOENT' ? undefined : { result: 'failed', code: 'unreadable-answer' }
    }
  }

  async #giveUp(name: string): Promise<RootAnswer> {
    try {
      await unlink(join(this.#requests, name))
      return { result: 'no answer', code: 'not-taken' }
    } catch {
      return (await this.#read(name)) ?? { result: 'no answer', code: 'taken' }
    }
  }

  async #clear(name: string): Promise<void> {
    for (const folder of [this.#requests, this.#answers]) {
      await rm(join(folder, name), { force: true, recursive: true }).catch(() => undefined)
    }
  }
}

/** Where nothing can be watched, such as when the system has no watches left, looking now and then has to do. */
function watchFolder(folder: string, onChange: () => void): Disposable {
  try {
    const watcher = watch(folder, onChange).on('error', () => undefined)
    return {
      [Symbol.dispose]: () => {
        watcher.close()
      },
    }
  } catch {
    return { [Symbol.dispose]: () => undefined }
  }
}
