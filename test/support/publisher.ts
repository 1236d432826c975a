import { execFile } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import type { Cloud } from '../cloud/cloud.ts'
import { agentCommand } from './agent-process.ts'
import { tempFolder } from './temp-folder.ts'

export interface PublishOutcome {
  readonly code: number | string
  readonly stdout: string
  readonly stderr: string
}

/** An operator's machine: a folder to publish, and `panorama-agent publish` as a process with an operator's credentials. */
export class Publisher implements AsyncDisposable {
  readonly folder: string
  readonly #cloud: Cloud
  readonly #home: string
  readonly #owned: AsyncDisposableStack
  #environment: NodeJS.ProcessEnv

  private constructor(cloud: Cloud, home: string, owned: AsyncDisposableStack) {
    this.folder = join(home, 'release')
    this.#cloud = cloud
    this.#home = home
    this.#owned = owned
    const { accessKeyId, secretAccessKey, sessionToken } = cloud.signInPublisher()
    this.#environment = {
      HOME: home,
      PATH: process.env['PATH'],
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_SESSION_TOKEN: sessionToken,
      NODE_EXTRA_CA_CERTS: join(home, 'root-ca.pem'),
    }
  }

  static async open(cloud: Cloud): Promise<Publisher> {
    await using resources = new AsyncDisposableStack()
    const home = resources.use(await tempFolder())
    await mkdir(join(home.path, 'release'))
    await writeFile(join(home.path, 'root-ca.pem'), cloud.rootCaPem)
    return new Publisher(cloud, home.path, resources.move())
  }

  /** Replaces the whole folder. */
  async fill(files: Readonly<Record<string, string | Uint8Array>>, executable: readonly string[] = []): Promise<void> {
    await rm(this.folder, { recursive: true, force: true })
    await mkdir(this.folder)
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(this.folder, path)), { recursive: true })
      await writeFile(join(this.folder, path), content, { mode: executable.includes(path) ? 0o755 : 0o644 })
    }
  }

  /** Writes a file beside the folder and answers its path. */
  async write(name: string, content: string): Promise<string> {
    await writeFile(join(this.#home, name), content, { mode: 0o600 })
    return join(this.#home, name)
  }

  /** Changes the environment of what is run from now on. */
  setEnvironment(changes: NodeJS.ProcessEnv): void {
    this.#environment = { ...this.#environment, ...changes }
  }

  /** Publishes the folder as `app` below `app/`, unless the arguments say otherwise. */
  async publish(...args: readonly string[]): Promise<PublishOutcome> {
    const [node = '', ...script] = agentCommand
    const { endpoints, names } = this.#cloud
    const usual = ['--access-point', names.accessPointArn, '--prefix', 'app/', '--name', 'app']
    const command = [...script, 'publish', this.folder, ...usual, '--endpoint', endpoints.s3, ...args]
    const { promise, resolve } = Promise.withResolvers<PublishOutcome>()
    execFile(node, command, { env: this.#environment, timeout: 60_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : (error.code ?? 'killed'), stdout, stderr })
    })
    return await promise
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync()
  }
}
