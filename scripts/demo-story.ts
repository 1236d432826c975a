import { createHash, randomBytes } from 'node:crypto'
import { appendFile, readdir, readFile } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

import { renderStatus } from '../agent/status/render-status.ts'
import type { StatusDocument } from '../agent/status/status-document.ts'
import type { Cloud } from '../test/cloud/cloud.ts'
import { agentCommand, type AgentProcess } from '../test/support/agent-process.ts'
import type { ApplianceFiles } from '../test/support/appliance-files.ts'
import { arrivedMessages } from '../test/support/arrived-messages.ts'
import { runCommand } from '../test/support/run-command.ts'
import type { DemoConsole } from './demo-console.ts'

export interface DemoStoryOptions {
  readonly screen: DemoConsole
  readonly cloud: Cloud
  readonly appliance: ApplianceFiles
  /** The user's own files; undefined for the demo's model. */
  readonly publishFolder: string | undefined
  /** Ends the waiting at once. */
  readonly signal: AbortSignal
}

const prefix = 'people-counter/'
const artifact = 'people-counter'
const camera = 'dock-1'
const stream = 'people-counter'
const outageMs = 10_000
const convergeWithinMs = 30_000

/** What the demo shows, one method per scene. Each throws when the appliance does not get to where the cloud is. */
export class DemoStory {
  readonly #options: DemoStoryOptions
  readonly #published = new Map<string, Uint8Array>()
  readonly #passwords = new Map<string, string>()
  #lines = 0

  constructor(options: DemoStoryOptions) {
    this.#options = options
  }

  /** Puts files and secrets into the cloud, and the first lines of an application into its log. */
  async prepare(): Promise<void> {
    const { screen, publishFolder } = this.#options
    await screen.step('publish files to an S3 access point, store two camera secrets', async () => {
      const files = publishFolder === undefined ? sampleFiles() : await readFolder(publishFolder)
      for (const [path, content] of files) await this.#publish(path, content)
      for (const name of ['dock-1', 'dock-2']) this.#setPassword(name)
    })
    await this.#logLines(20)
  }

  async firstPass(agent: AgentProcess): Promise<void> {
    const { screen } = this.#options
    await screen.step('credentials, a release, two cameras and the first log lines', () => this.#converge(agent))
    await this.#showPlaces(agent)
  }

  async changes(agent: AgentProcess): Promise<void> {
    const { screen, appliance } = this.#options
    screen.heading('Things change in the cloud')
    await this.#publish('model/version.txt', Buffer.from('2\n'))
    await this.#publish('model/weights.bin', randomBytes(1_500_000))
    this.#setPassword(camera)
    await this.#logLines(10)
    await screen.step(`the operator asks at once: panorama-agent refresh ${camera}`, async () => {
      const [node = '', ...args] = agentCommand
      await runCommand(node, [...args, 'refresh', camera, '--config', appliance.configFile])
    })
    await screen.step('the new release by the next poll, the new password, the new log lines', () =>
      this.#converge(agent),
    )
    await this.#showPlaces(agent)
  }

  async outage(agent: AgentProcess): Promise<void> {
    const { screen, cloud } = this.#options
    screen.heading('Ten seconds without network')
    await cloud.unreachable()
    await this.#logLines(10)
    await this.#publish('model/version.txt', Buffer.from('3\n'))
    await screen.step('the appliance is offline, and keeps what it has', async () => {
      await delay(outageMs, undefined, { signal: this.#options.signal })
      await this.#checkFiles('2\n')
    })
    await this.#logLines(10)
    await cloud.reachable()
    await screen.step('the network is back: nothing lost, nothing to restart', () => this.#converge(agent))
  }

  /** Stops the agent and answers the summary. */
  async end(agent: AgentProcess): Promise<Record<string, unknown>> {
    const { screen } = this.#options
    await this.#converge(agent)
    const status = await screen.step('every part of the agent says that it is well', () => agent.until(isWell))
    screen.heading('panorama-agent status')
    process.stdout.write(renderStatus(status))
    screen.heading('The agent stops')
    const { code, signal } = await screen.step('SIGTERM, then exit code 0', () => agent.stop())
    if (code !== 0) throw new Error(`the agent ended with ${String(code ?? signal)}`)
    return summaryOf(status)
  }

  async #publish(path: string, body: Uint8Array): Promise<void> {
    const { cloud } = this.#options
    await cloud.s3.putObject({ bucket: cloud.names.bucket, key: `${prefix}${path}`, body })
    this.#published.set(path, body)
  }

  #setPassword(name: string): void {
    const password = randomBytes(9).toString('base64url')
    const streamUrl = `rtsp://${name}.example:554/stream1`
    const { secrets } = this.#options.cloud
    const document = JSON.stringify({ username: 'viewer', password, streamUrl })
    if (this.#passwords.has(name)) secrets.rotateSecret(`panorama/shared/${name}`, document)
    else secrets.createSecret(`panorama/shared/${name}`, document)
    this.#passwords.set(name, password)
  }

  async #logLines(count: number): Promise<void> {
    const lines = Array.from({ length: count }, () => {
      this.#lines += 1
      return `${new Date().toISOString()} INFO     counted ${this.#lines} people\n`
    })
    await appendFile(join(this.#options.appliance.logsFolder, `${stream}.log`), lines.join(''))
  }

  /** Waits until files, cameras and log lines on both sides are the same. */
  async #converge(agent: AgentProcess): Promise<StatusDocument> {
    const endMs = performance.now() + convergeWithinMs
    for (;;) {
      const difference = await this.#difference()
      if (difference === undefined) return await agent.status()
      if (performance.now() > endMs) throw new Error(`the appliance did not follow: ${difference}`)
      await delay(100, undefined, { signal: this.#options.signal })
    }
  }

  async #difference(): Promise<string | undefined> {
    const { cloud, appliance } = this.#options
    const current = join(appliance.stateFolder, 'artifacts', artifact, 'current')
    for (const [path, content] of this.#published) {
      const installed = await readFile(join(current, path)).catch(() => undefined)
      if (!installed?.equals(content)) return `${path} is not what was published`
    }
    for (const [name, password] of this.#passwords) {
      const text = await readFile(join(appliance.runtimeFolder, 'cameras', `${name}.json`), 'utf8').catch(() => '')
      if (!text.includes(password)) return `camera ${name} has another password`
    }
    const arrived = arrivedMessages(cloud, `/aws/panorama/devices/${appliance.thingName}`, stream)
    const numbers = arrived.map((message) => Number(/counted (\d+) people/.exec(message)?.[1]))
    const isComplete = new Set(numbers).size === this.#lines && arrived.length >= this.#lines
    return isComplete ? undefined : `${arrived.length} of ${this.#lines} log lines arrived`
  }

  async #checkFiles(version: string): Promise<void> {
    const { stateFolder } = this.#options.appliance
    const path = join(stateFolder, 'artifacts', artifact, 'current', 'model', 'version.txt')
    const text = await readFile(path, 'utf8')
    if (text !== version) throw new Error(`while offline, ${path} holds ${JSON.stringify(text)}`)
  }

  async #showPlaces(agent: AgentProcess): Promise<void> {
    const { screen, appliance, cloud } = this.#options
    const { credentials, artifacts, cameras, logs } = await agent.status()
    screen.fact(`credentials  valid until ${credentials[0]?.expiresAt ?? 'unknown'}`)
    for (const { name, releaseId = '', files, bytes } of artifacts) {
      const place = join(appliance.stateFolder, 'artifacts', name, 'current')
      screen.fact(`artifact     ${place}: release ${releaseId.slice(0, 12)}, ${files} files, ${bytes} bytes`)
    }
    for (const { name, versionId = '' } of cameras) {
      screen.fact(
        `camera       ${join(appliance.runtimeFolder, 'cameras', `${name}.json`)}: version ${versionId.slice(0, 8)}`,
      )
    }
    const count = arrivedMessages(cloud, logs.group, stream).length
    screen.fact(`logs         ${logs.group}, stream ${stream}: ${count} events in CloudWatch`)
  }
}

function isWell({ credentials, artifacts, cameras, logs, connection, jobs }: StatusDocument): boolean {
  const isConnected = connection === undefined || connection.state === 'connected'
  const parts = [...credentials, ...artifacts, ...cameras, logs, ...(jobs === undefined ? [] : [jobs])]
  return isConnected && parts.every(({ state }) => state === 'ok')
}

function summaryOf({ credentials, artifacts, cameras, logs }: StatusDocument): Record<string, unknown> {
  const [first] = credentials
  const [release] = artifacts
  return {
    credentials: { fetches: first?.fetches, expiresAt: first?.expiresAt },
    artifacts: { files: release?.files, bytes: release?.bytes, releaseId: release?.releaseId },
    cameras: cameras.map(({ name, versionId }) => ({ name, versionId })),
    logs: { accepted: logs.accepted, lost: logs.lost },
  }
}

function sampleFiles(): ReadonlyMap<string, Uint8Array> {
  const weights = randomBytes(3_000_000)
  const digest = createHash('sha256').update(weights).digest('hex')
  return new Map<string, Uint8Array>([
    ['model/weights.bin', weights],
    ['model/version.txt', Buffer.from('1\n')],
    ['config/labels.json', Buffer.from('["person","forklift"]\n')],
    [`binaries/${digest}.tar.gz`, weights],
  ])
}

async function readFolder(folder: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  if (files.length === 0) throw new Error(`${folder} holds no files`)
  const contents = files.map(
    async (file) => [relative(folder, file).split(sep).join('/'), await readFile(file)] as const,
  )
  return new Map(await Promise.all(contents))
}
