import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'

interface Answer {
  readonly arn?: string
  readonly error?: string
}

/** A process with an SDK client that knows nothing but its environment. Disposing ends it. */
export class SdkProcess implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>
  readonly #lines: AsyncIterator<string, undefined>
  #errors = ''

  constructor(env: Readonly<Record<string, string>>) {
    this.#child = spawn(process.execPath, [join(import.meta.dirname, 'sdk-client.ts')], {
      env,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text
    })
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  /** Asks STS who it is, through the client that it has had since its start. */
  async whoAmI(): Promise<Answer> {
    this.#child.stdin.write('who am I?\n')
    const { value } = await this.#lines.next()
    if (value === undefined) throw new Error(`the process ended: ${this.#errors}`)
    return JSON.parse(value) as Answer // as sdk-client.ts prints it
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const closed = once(this.#child, 'close')
    this.#child.kill('SIGKILL')
    await closed
  }
}
