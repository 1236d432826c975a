import { fork } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { SinkCounts, SinkMessage } from './sink.ts'

/** The sink's process. */
export class RunningSink implements AsyncDisposable {
  readonly port: number
  /** The file of its certificate, to be trusted. */
  readonly certificate: string
  readonly #child

  private constructor(child: ReturnType<typeof fork>, port: number, certificate: string) {
    this.#child = child
    this.port = port
    this.certificate = certificate
  }

  static async start(folder: string): Promise<RunningSink> {
    const child = fork(join(import.meta.dirname, 'sink.ts'), { stdio: 'inherit' })
    const [message] = (await once(child, 'message')) as [SinkMessage]
    if (!('port' in message)) throw new Error('the sink does not say where it is')
    const certificate = join(folder, 'sink.pem')
    await writeFile(certificate, message.certificate)
    return new RunningSink(child, message.port, certificate)
  }

  /** What came since the last call. */
  async take(): Promise<SinkCounts> {
    const answered = once(this.#child, 'message') as Promise<[SinkMessage]>
    this.#child.send('take')
    const [message] = await answered
    if (!('counts' in message)) throw new Error('the sink does not say what it counted')
    return message.counts
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#child, 'exit')
    this.#child.disconnect()
    await exited
  }
}
