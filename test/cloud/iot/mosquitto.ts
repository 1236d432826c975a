import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { access, constants, mkdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { userInfo } from 'node:os'
import { delimiter, join } from 'node:path'

const startTimeoutMs = 10_000
const stopTimeoutMs = 5000
const pollMs = 10
const systemFolders = ['/usr/sbin', '/usr/local/sbin']

/** Where mosquitto is; undefined when it is not installed. `path` is that of the environment. */
export async function findMosquitto(path: string): Promise<string | undefined> {
  return findProgram('mosquitto', [...path.split(delimiter), ...systemFolders])
}

export interface MosquittoOptions {
  readonly binary: string
  /** Made if it is not there; holds the configuration and the socket. */
  readonly folder: string
}

/**
 * A mosquitto of our own on a Unix socket in a folder of ours: nobody but the gate and the services reaches it. It keeps
 * nothing on disk, so a restart forgets sessions.
 */
export class Mosquitto implements AsyncDisposable {
  readonly #binary: string
  readonly #config: string
  readonly socketPath: string
  #child: ChildProcess | undefined
  #output = ''

  private constructor({ binary, folder }: MosquittoOptions) {
    this.#binary = binary
    this.#config = join(folder, 'mosquitto.conf')
    this.socketPath = join(folder, 'mosquitto.sock')
  }

  /** Throws an Error with what mosquitto printed when it does not come up. */
  static async start(options: MosquittoOptions): Promise<Mosquitto> {
    await mkdir(options.folder, { recursive: true, mode: 0o700 })
    const broker = new Mosquitto(options)
    await writeFile(broker.#config, configuration(broker.socketPath))
    await broker.#start()
    return broker
  }

  /** Ends the broker the hard way, as a crash would. */
  async stop(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child?.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit', { signal: AbortSignal.timeout(stopTimeoutMs) })
    child.kill('SIGKILL')
    await exited
  }

  /** Starts a broker that was stopped. */
  async resume(): Promise<void> {
    if (this.#child === undefined) await this.#start()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  /** With util-linux's setpriv, the broker ends with this process, however that ends. */
  async #command(): Promise<readonly [string, ...string[]]> {
    const setpriv = await findProgram('setpriv', ['/usr/bin', '/bin'])
    const run = [this.#binary, '-c', this.#config] as const
    return setpriv === undefined ? run : [setpriv, '--pdeathsig', 'KILL', ...run]
  }

  async #start(): Promise<void> {
    const command = await this.#command()
    const child = spawn(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (text: Buffer) => {
        this.#output = `${this.#output}${text.toString()}`.slice(-4000)
      })
    }
    const failed = new AbortController()
    child.once('error', (error) => {
      failed.abort(error)
    })
    child.once('exit', () => {
      failed.abort(new Error(`mosquitto ended: ${this.#output}`))
    })
    const deadline = performance.now() + startTimeoutMs
    while (!(await accepts(this.socketPath))) {
      failed.signal.throwIfAborted()
      if (performance.now() > deadline) throw new Error(`mosquitto does not come up: ${this.#output}`)
      await new Promise((resolve) => setTimeout(resolve, pollMs))
    }
  }
}

/** QoS 2 does not exist at AWS IoT; limits are the gate's business. Started by root, it would become another user. */
function configuration(socketPath: string): string {
  return [
    `listener 0 ${socketPath}`,
    'allow_anonymous true',
    `user ${userInfo().username}`,
    'persistence false',
    'max_qos 1',
    'max_inflight_messages 100',
    'log_dest stderr',
    'log_type error',
    'log_type warning',
    '',
  ].join('\n')
}

async function accepts(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect(path)
  socket.once('connect', () => {
    resolve(true)
  })
  socket.once('error', () => {
    resolve(false)
  })
  try {
    return await promise
  } finally {
    socket.destroy()
  }
}

async function findProgram(name: string, folders: readonly string[]): Promise<string | undefined> {
  for (const folder of folders) {
    const file = join(folder, name)
    const found = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (found) return file
  }
  return undefined
}
