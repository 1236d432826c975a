import { readdir, readFile, realpath, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

import { runAgent } from '../../agent/agent.ts'
import { loadConfig } from '../../agent/config/load-config.ts'
import { createLog, type LogLevel, type RootLog, type LogLine } from '../../agent/lib/log.ts'
import { LogRing } from '../../agent/logs/log-ring.ts'
import { callAgent, socketPathIn } from '../../agent/status/status-client.ts'
import type { StatusDocument } from '../../agent/status/status-document.ts'
import { startCloud, type Cloud, type CloudOptions } from '../cloud/cloud.ts'
import { createApplianceFiles, type ApplianceFiles } from './appliance-files.ts'
import { arrivedMessages } from './arrived-messages.ts'
import { tempFolder } from './temp-folder.ts'

export interface LocalApplianceOptions {
  readonly cloud?: CloudOptions
  /** Merged over the configuration, section by section; gets the names that the cloud gave. */
  readonly config?: (cloud: Cloud) => Readonly<Record<string, unknown>>
}

export const localThing = 'appliance-a'
export const localGroup = `/aws/panorama/devices/${localThing}`

/** A cloud of its own and, in a temporary folder, an appliance in it whose agent runs in this process. */
export class LocalAppliance implements AsyncDisposable {
  readonly cloud: Cloud
  readonly files: ApplianceFiles
  readonly #owned: AsyncDisposableStack

  private constructor(cloud: Cloud, files: ApplianceFiles, owned: AsyncDisposableStack) {
    this.cloud = cloud
    this.files = files
    this.#owned = owned
  }

  static async open({ cloud: options = {}, config }: LocalApplianceOptions = {}): Promise<LocalAppliance> {
    await using resources = new AsyncDisposableStack()
    const folder = resources.use(await tempFolder())
    const cloud = resources.use(await startCloud(options))
    const files = await createApplianceFiles({
      cloud,
      folder: folder.path,
      thingName: localThing,
      ...(config === undefined ? {} : { config: config(cloud) }),
    })
    return new LocalAppliance(cloud, files, resources.move())
  }

  /** Starts the agent; disposing of it stops it. One at a time. */
  async start({ level = 'info' }: { readonly level?: LogLevel } = {}): Promise<LocalAgent> {
    return await LocalAgent.start(this.files, level)
  }

  /** Replaces sections of the configuration for the next start. */
  async configure(sections: Readonly<Record<string, unknown>>): Promise<void> {
    await writeFile(this.files.configFile, JSON.stringify({ ...this.files.config, ...sections }))
  }

  /** Puts an object into the bucket behind the access point. */
  async put(key: string, body: string | Uint8Array): Promise<void> {
    await this.cloud.s3.putObject({ bucket: this.cloud.names.bucket, key, body })
  }

  /** Path to content of everything below the folder that `current` of an artifact names; undefined when there is none. */
  async installed(artifact: string): Promise<Readonly<Record<string, string>> | undefined> {
    const current = join(this.files.stateFolder, 'artifacts', artifact, 'current')
    const root = await realpath(current).catch(() => undefined)
    if (root === undefined) return undefined
    const entries = (await readdir(root, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile())
    const paths = entries.map(({ parentPath, name }) => join(parentPath, name)).sort()
    return Object.fromEntries(
      await Promise.all(paths.map(async (path) => [relative(root, path), await readFile(path, 'utf8')])),
    ) as Readonly<Record<string, string>>
  }

  /** The file of a camera as its consumers read it; undefined when there is none. */
  async cameraFile(name: string): Promise<Readonly<Record<string, string>> | undefined> {
    const path = join(this.files.runtimeFolder, 'cameras', `${name}.json`)
    const text = await readFile(path, 'utf8').catch(() => undefined)
    return text === undefined ? undefined : (JSON.parse(text) as Readonly<Record<string, string>>)
  }

  /** The messages that arrived in a stream of the appliance's log group. */
  arrived(stream: string): readonly string[] {
    return arrivedMessages(this.cloud, localGroup, stream)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync()
  }
}

/** A running agent, asked over its socket as its commands do. */
export class LocalAgent implements AsyncDisposable {
  /** What it logged. */
  readonly lines: string[] = []
  /** Its log. */
  readonly log: RootLog
  readonly #ring = new LogRing()
  readonly #ready = Promise.withResolvers<undefined>()
  readonly #socketPath: string
  readonly #stop = new AbortController()
  #ended: Promise<void> = Promise.resolve()

  private constructor(runtimeFolder: string, level: LogLevel) {
    this.#socketPath = socketPathIn(runtimeFolder)
    const watch = ({ text }: LogLine): void => {
      this.lines.push(text)
      if (text.includes('agent is ready')) this.#ready.resolve(undefined)
    }
    this.log = createLog({ level, sinks: [this.#ring.sink, watch] })
  }

  static async start({ configFile, runtimeFolder }: ApplianceFiles, level: LogLevel): Promise<LocalAgent> {
    const agent = new LocalAgent(runtimeFolder, level)
    const loaded = await loadConfig(configFile)
    const config = { ...loaded, logs: { ...loaded.logs, level } }
    const options = { config, log: agent.log, ring: agent.#ring, overrides: { minCredentialIntervalMs: 0 } }
    agent.#ended = runAgent(options, agent.#stop.signal)
    agent.#ended.catch(agent.#ready.reject)
    await agent.#ready.promise
    return agent
  }

  async status(): Promise<StatusDocument> {
    const { body } = await this.#call('GET', '/status')
    return body as StatusDocument // the agent's own document
  }

  /** Runs a pass of an artifact, or of all; throws the message and the hint of its failure. */
  async sync(name?: string): Promise<void> {
    await this.#post(name === undefined ? '/sync' : `/sync/${name}`)
  }

  /** Refreshes a camera, or all; throws the message and the hint of the failure. */
  async refresh(name?: string): Promise<void> {
    await this.#post(name === undefined ? '/refresh' : `/refresh/${name}`)
  }

  /** Ends as on SIGTERM. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #post(path: string): Promise<void> {
    const { status, body } = await this.#call('POST', path)
    if (status === 200) return
    const { message, hint = 'none' } = (body as { error: { message: string; hint?: string } }).error // of an ErrorReport
    throw new Error(`${message} (hint: ${hint})`)
  }

  async #call(method: 'GET' | 'POST', path: string): Promise<{ readonly status: number; readonly body: unknown }> {
    return await callAgent({ socketPath: this.#socketPath, method, path, withinMs: 60_000 })
  }
}
