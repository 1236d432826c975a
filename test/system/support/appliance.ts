import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'

import { inject } from 'vitest'

import { callAgent } from '../../../agent/status/status-client.ts'
import type { StatusDocument } from '../../../agent/status/status-document.ts'
import { startCloud, type Cloud } from '../../cloud/cloud.ts'
import { arrivedMessages } from '../../support/arrived-messages.ts'
import { runCommand } from '../../support/run-command.ts'
import { Container } from './container.ts'
import { ownedPrefix } from './leftovers.ts'
import { copyTree, removeTree } from './root-file-system.ts'
import { ServiceUnit } from './service-unit.ts'

export interface ApplianceOptions {
  /** Default: one of its own, without AWS IoT Core. */
  readonly cloud?: Cloud
  /** Merged over the configuration, section by section. */
  readonly config?: (cloud: Cloud) => Readonly<Record<string, unknown>>
  /** Drop-ins of the agent's unit, by name. */
  readonly dropIns?: Readonly<Record<string, string>>
  /** Puts into the image what the identity comes of, and answers the id of that certificate. Default: an identity. */
  readonly identity?: (image: string) => Promise<string>
  /** Changes the image before the first boot. */
  readonly prepare?: (image: string) => Promise<void>
}

export const thingName = 'panorama_dock-1_Thing'
const artifactName = 'model'
const cameraName = 'dock-1'
/** A group of the image that the agent is in. */
export const readerGroup = 'vision'
export const paths = {
  config: '/etc/panorama-agent/config.json',
  state: '/var/lib/panorama-agent',
  runtime: '/run/panorama-agent',
  current: `/var/lib/panorama-agent/artifacts/${artifactName}/current`,
  camera: `/run/panorama-agent/cameras/${cameraName}.json`,
  logs: '/opt/aws/panorama/logs',
}
const identityFolder = '/etc/panorama-agent/identity'
const secretId = `panorama/shared/${cameraName}`

const prefix = 'model/'

/** An appliance with the package in it, and a cloud on the loopback interface that they share. */
export class Appliance implements AsyncDisposable {
  readonly cloud: Cloud
  readonly container: Container
  readonly unit: ServiceUnit
  /** Of what is in the image: its identity. */
  readonly certificateId: string
  readonly config: Readonly<Record<string, unknown>>
  readonly #owned: AsyncDisposableStack
  #hasSecret = false

  private constructor(
    parts: Pick<Appliance, 'cloud' | 'container' | 'certificateId' | 'config'>,
    owned: AsyncDisposableStack,
  ) {
    this.cloud = parts.cloud
    this.container = parts.container
    this.certificateId = parts.certificateId
    this.config = parts.config
    this.unit = new ServiceUnit(parts.container)
    this.#owned = owned
  }

  /** Makes it from the image; it was never booted. */
  static async make({
    cloud: given,
    config,
    dropIns = {},
    identity,
    prepare,
  }: ApplianceOptions = {}): Promise<Appliance> {
    await using resources = new AsyncDisposableStack()
    const cloud = given ?? resources.use(await startCloud())
    const folder = await mkdtemp(join(tmpdir(), `${ownedPrefix}${process.pid}-`))
    resources.defer(() => removeTree(folder))
    const name = basename(folder)
    const root = join(folder, 'root')
    await copyTree(inject('image'), root)
    const container = resources.use(await Container.make({ root, name }))
    const full = { ...baseConfig(cloud), ...config?.(cloud) }
    await furnish(root, cloud, full)
    const certificateId = await (identity ?? ((image) => giveIdentity(image, cloud)))(root)
    for (const [file, text] of Object.entries(dropIns)) await writeDropIn(root, file, text)
    await prepare?.(root)
    return new Appliance({ cloud, container, certificateId, config: full }, resources.move())
  }

  /** Makes it, fills the cloud, boots it, and waits until the main job is done. */
  static async working(options: ApplianceOptions = {}): Promise<Appliance> {
    await using resources = new AsyncDisposableStack()
    const appliance = resources.use(await Appliance.make(options))
    await appliance.publish('weights.bin', 'first weights')
    appliance.setPassword('first')
    await appliance.container.boot()
    await appliance.until(isWell)
    resources.move()
    return appliance
  }

  async status(): Promise<StatusDocument> {
    const socketPath = this.container.path(`${paths.runtime}/agent.sock`)
    const { body } = await callAgent({ socketPath, method: 'GET', path: '/status', withinMs: 5_000 })
    return body as StatusDocument // the agent's own document
  }

  /** Polls the status until `isReached`; throws with the last status and the journal when that takes too long. */
  async until(isReached: (status: StatusDocument) => boolean, withinMs = 40_000): Promise<StatusDocument> {
    const endMs = performance.now() + withinMs
    let last: unknown
    while (performance.now() < endMs) {
      try {
        const status = await this.status()
        if (isReached(status)) return status
        last = status
      } catch (error) {
        last = error instanceof Error ? error.message : error
      }
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    const journal = await this.unit.journal()
    throw new Error(`the agent did not get there: ${String(isReached)}\n${JSON.stringify(last, null, 1)}\n${journal}`)
  }

  /** Asks the running agent for a pass now; resolves when it ended, well or badly. */
  async ask(what: 'sync' | 'refresh'): Promise<void> {
    await this.container.attempt('panorama-agent', what)
  }

  async publish(path: string, body: Uint8Array | string): Promise<void> {
    await this.cloud.s3.putObject({ bucket: this.cloud.names.bucket, key: `${prefix}${path}`, body })
  }

  /** Creates the secret of the camera, or rotates it. */
  setPassword(password: string, streamUrl = 'rtsp://dock-1.example:554/1'): void {
    const document = JSON.stringify({ username: 'viewer', password, streamUrl })
    if (this.#hasSecret) this.cloud.secrets.rotateSecret(secretId, document)
    else this.cloud.secrets.createSecret(secretId, document)
    this.#hasSecret = true
  }

  /** The text of a file as the container sees it. */
  async read(path: string): Promise<string> {
    return await readFile(this.container.path(path), 'utf8')
  }

  async write(path: string, text: string | Uint8Array): Promise<void> {
    await mkdir(dirname(this.container.path(path)), { recursive: true })
    await writeFile(this.container.path(path), text)
  }

  async remove(path: string): Promise<void> {
    await rm(this.container.path(path))
  }

  /** Writes sections of the configuration anew; the agent does not know yet. */
  async configure(sections: Readonly<Record<string, unknown>>): Promise<void> {
    await this.write(paths.config, JSON.stringify({ ...this.config, ...sections }))
  }

  /** The messages that CloudWatch got in a stream. */
  messages(stream: string): readonly string[] {
    return arrivedMessages(this.cloud, `/aws/panorama/devices/${thingName}`, stream)
  }

  /** Copies a file of the host into it. */
  async bring(file: string): Promise<string> {
    const path = join('/var/tmp', basename(file))
    await cp(file, this.container.path(path))
    return path
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync()
  }
}

/** The camera of every appliance, as `cameras.streams[]` has it. */
export function cameraConfig(): { readonly name: string; readonly secretId: string; readonly probe: boolean } {
  return { name: cameraName, secretId, probe: false } // there is no camera
}

/** The artifact that `publish` puts files into, as `artifacts[]` has it. */
export function artifactConfig({ names }: Cloud): Readonly<Record<string, unknown>> {
  return { name: artifactName, accessPoint: names.accessPointArn, prefix, pollSeconds: 10 }
}

/** Everything that the agent has to do is done. */
export function isWell({ credentials, artifacts, cameras, logs }: StatusDocument): boolean {
  return [...credentials, ...artifacts, ...cameras, logs].every(({ state }) => state === 'ok')
}

/** Adds a drop-in of the agent's unit to a root file system. */
async function writeDropIn(root: string, name: string, text: string): Promise<void> {
  const folder = join(root, 'etc/systemd/system/panorama-agent.service.d')
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, `${name}.conf`), text)
}

function baseConfig(cloud: Cloud): Readonly<Record<string, unknown>> {
  const { endpoints, names, region } = cloud
  return {
    device: { thingName, region },
    identity: {
      certificate: `${identityFolder}/certificate.pem`,
      privateKey: `${identityFolder}/private.key`,
      rootCa: `${identityFolder}/root-ca.pem`,
    },
    endpoints: { ...endpoints },
    role: { alias: names.roleAlias },
    artifacts: [artifactConfig(cloud)],
    cameras: { refreshSeconds: 30, streams: [cameraConfig()] },
    logs: { flushSeconds: 1, sources: [{ kind: 'file', path: `${paths.logs}/*.log` }] },
  }
}

/** Configuration, root CA and log folder, as an image has them. */
async function furnish(root: string, cloud: Cloud, config: Readonly<Record<string, unknown>>): Promise<void> {
  await mkdir(join(root, identityFolder), { recursive: true })
  await writeFile(join(root, identityFolder, 'root-ca.pem'), cloud.rootCaPem)
  await writeFile(join(root, paths.config), JSON.stringify(config))
  await mkdir(join(root, paths.logs), { recursive: true })
  await runCommand('chroot', [root, 'groupadd', '--system', readerGroup])
  await writeDropIn(root, 'groups', `[Service]\nSupplementaryGroups=${readerGroup}\n`)
}

/** Owned and closed as an image has it. Answers the id of the certificate. */
async function giveIdentity(root: string, cloud: Cloud): Promise<string> {
  const made = await cloud.appliances.createAppliance({ thingName, alias: cloud.names.roleAlias })
  await writeFile(join(root, identityFolder, 'certificate.pem'), made.certificatePem)
  const key = join(identityFolder, 'private.key')
  await writeFile(join(root, key), made.privateKeyPem, { mode: 0o640 })
  await runCommand('chroot', [root, 'chgrp', 'panorama-agent', key])
  return made.certificateId
}
