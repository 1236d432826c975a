import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { inject } from 'vitest'

import type { StatusDocument } from '../../../agent/status/status-document.ts'
import type { DeviceCertificate, ListedCertificate } from '../../cloud/appliances.ts'
import { startIotCloud, type IotCloud } from '../../cloud/iot/iot-cloud.ts'
import { startRtspCamera } from '../../support/rtsp-camera.ts'
import { runCommand } from '../../support/run-command.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import {
  allowUpdates,
  makeSigner,
  otherVersion,
  publishUpdate,
  updateArtifacts,
  versionWithoutRuntime,
  type UpdateSigner,
} from './agent-updates.ts'
import { Appliance, artifactConfig, isWell, paths } from './appliance.ts'

/** What the artifacts of the same names hold: one that works, and one that does not start. */
export const fieldVersions = { good: '7.0.0', crashing: '8.1.0' } as const
export type FieldVersion = keyof typeof fieldVersions
const fieldArtifacts: readonly FieldVersion[] = ['good', 'crashing']
const installer = join(import.meta.dirname, '..', '..', '..', 'scripts/image-install')
const identity = `${paths.state}/identity`

export interface FieldSiteOptions {
  /** Whether there are versions to update it to; they take a while to make. */
  readonly versions?: boolean
}

/** An appliance whose image was never booted and holds no identity but a claim, and all that it is to get from its cloud. */
export class FieldSite implements AsyncDisposable {
  readonly cloud: IotCloud
  readonly appliance: Appliance
  readonly #owned: AsyncDisposableStack

  private constructor({ cloud, appliance }: Pick<FieldSite, 'cloud' | 'appliance'>, owned: AsyncDisposableStack) {
    this.cloud = cloud
    this.appliance = appliance
    this.#owned = owned
  }

  static async make({ versions = true }: FieldSiteOptions = {}): Promise<FieldSite> {
    await using resources = new AsyncDisposableStack()
    const cloud = resources.use(await startIotCloud())
    const vendor = makeSigner()
    const published = versions ? publishVersions(cloud, vendor) : Promise.resolve()
    resources.defer(() => published)
    const claim = await cloud.iot.provisioning.createClaim()
    const appliance = resources.use(
      await Appliance.make({
        cloud,
        config: () => configWithoutIdentity(cloud),
        identity: (image) => installWithClaim(image, claim, vendor),
        prepare: (image) => allowUpdates(image, fieldArtifacts),
      }),
    )
    const camera = resources.use(await startRtspCamera({ username: 'viewer', password: 'first' }))
    appliance.setPassword('first', camera.streamUrl)
    await appliance.publish('weights.bin', 'first weights')
    await appliance.write(`${paths.logs}/app.log`, 'a line from before the first boot\n')
    await appliance.bring(inject('packageFile'))
    await published
    return new FieldSite({ cloud, appliance }, resources.move())
  }

  /** Waits until it does all its work, jobs included, as a thing. */
  async atWork(): Promise<StatusDocument> {
    return await this.appliance.until(isAtWork, 90_000)
  }

  /** The serial number that the unit of the first boot has found. */
  async serial(): Promise<string> {
    return (await this.appliance.read('/var/lib/panorama-agent-serial/serial')).trim()
  }

  /** Id of the certificate in use, as the disk has it. */
  async certificateInUse(): Promise<string> {
    const { certificateId } = JSON.parse(await this.appliance.read(`${identity}/current/identity.json`)) as {
      readonly certificateId: string
    }
    return certificateId
  }

  /** Names of what the identity folder holds, those of versions included. */
  async identityFiles(): Promise<readonly string[]> {
    const { stdout } = await this.appliance.container.run('find', identity, '-mindepth', '1', '-printf', '%P\n')
    return stdout.trimEnd().split('\n')
  }

  /** Those of the account that are of a thing, oldest first. */
  certificatesOf(thingName: string): readonly ListedCertificate[] {
    return this.cloud.iot.provisioning.certificates().filter(({ things }) => things.includes(thingName))
  }

  /** As an operator in front of it. The next start provisions it anew. */
  async reset(): Promise<void> {
    await this.appliance.container.run('systemctl', 'stop', 'panorama-agent')
    await this.appliance.container.run('panorama-agent', 'reset', '--yes')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync()
  }
}

function isAtWork(status: StatusDocument): boolean {
  return isWell(status) && status.connection?.state === 'connected' && status.jobs?.current === undefined
}

function configWithoutIdentity(cloud: IotCloud): Readonly<Record<string, unknown>> {
  return {
    device: { region: cloud.region },
    identity: { rootCa: '/etc/panorama-agent/identity/root-ca.pem' },
    provisioning: {},
    artifacts: [artifactConfig(cloud), ...updateArtifacts(cloud, fieldArtifacts)],
  }
}

async function installWithClaim(image: string, claim: DeviceCertificate, vendor: UpdateSigner): Promise<string> {
  await using folder = await tempFolder()
  await writeFile(join(folder.path, 'certificate.pem'), claim.certificatePem)
  await writeFile(join(folder.path, 'private.key'), claim.privateKeyPem, { mode: 0o600 })
  const updateKey = join(folder.path, 'vendor.pem')
  await writeFile(updateKey, vendor.publicPem)
  const args = [image, '--deb', inject('packageFile'), '--claim', folder.path, '--update-key', updateKey]
  await runCommand(installer, args, { withinMs: 300_000 })
  return claim.certificateId
}

async function publishVersions(cloud: IotCloud, vendor: UpdateSigner): Promise<void> {
  await using temp = await tempFolder()
  for (const artifact of fieldArtifacts) {
    const folder = join(temp.path, artifact)
    await mkdir(folder)
    const version = fieldVersions[artifact]
    const file =
      artifact === 'good' ? await otherVersion(version, { folder }) : await versionWithoutRuntime(version, folder)
    const bytes = await readFile(file)
    await publishUpdate(cloud, artifact, { file, bytes, signature: vendor.sign(bytes) })
  }
}
