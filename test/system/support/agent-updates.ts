import { generateKeyPairSync, sign } from 'node:crypto'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { inject } from 'vitest'

import { agentVersion } from '../../../agent/build-info.ts'
import type { Cloud } from '../../cloud/cloud.ts'
import { isWell, type Appliance } from './appliance.ts'
import { repack } from './package-build.ts'
import { pollUntil } from './poll-until.ts'

export const updatesFolder = '/var/lib/panorama-agent-update'
const lib = 'usr/lib/panorama-agent'

/** A key that updates are signed with. */
export interface UpdateSigner {
  readonly publicPem: string | Uint8Array
  readonly sign: (bytes: Uint8Array) => Uint8Array
}

export function makeSigner(): UpdateSigner {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  return {
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }),
    sign: (bytes) => sign(null, bytes, privateKey),
  }
}

export interface VersionOptions {
  readonly folder: string
  /** Goes before the agent's own code. */
  readonly prefix?: string
}

/** The package under test as another version, which is the agent's own too. */
export async function otherVersion(version: string, { folder, prefix = '' }: VersionOptions): Promise<string> {
  const change = async (tree: string): Promise<void> => {
    const folder = join(tree, lib, 'native')
    let isChanged = false
    for (const name of (await readdir(folder)).filter((each) => each.endsWith('.mjs'))) {
      const text = await readFile(join(folder, name), 'utf8')
      const changed = text.replaceAll(`"${agentVersion}"`, `"${version}"`)
      isChanged ||= changed !== text
      await writeFile(join(folder, name), `${name === 'agent.mjs' ? prefix : ''}${changed}`)
    }
    if (!isChanged) throw new Error('the bundle does not have the version as text')
  }
  return await repack(inject('packageFile'), version, { folder, change })
}

/** One that does not start. */
export async function versionWithoutRuntime(version: string, folder: string): Promise<string> {
  return await repack(inject('packageFile'), version, { folder, change: (tree) => rm(join(tree, lib, 'node')) })
}

export interface PublishedUpdate {
  /** The package's path. */
  readonly file: string
  readonly bytes: Uint8Array
  readonly signature: Uint8Array
}

/** Puts a package and its signature into the bucket, below `<artifact>/`. */
export async function publishUpdate(cloud: Cloud, artifact: string, update: PublishedUpdate): Promise<void> {
  const { bucket } = cloud.names
  const key = `${artifact}/${basename(update.file)}`
  await cloud.s3.putObject({ bucket, key, body: update.bytes })
  await cloud.s3.putObject({ bucket, key: `${key}.sig`, body: update.signature })
}

/** Of artifacts with such names, as `artifacts[]` has them. */
export function updateArtifacts({ names }: Cloud, artifacts: readonly string[]): readonly object[] {
  const accessPoint = names.accessPointArn
  return artifacts.map((name) => ({ name, accessPoint, prefix: `${name}/`, pollSeconds: 3_600 }))
}

/** What makers of images do. */
export async function allowUpdates(image: string, artifacts: readonly string[]): Promise<void> {
  const folder = join(image, 'etc/panorama-agent/allowed')
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'install-update'), `${artifacts.join('\n')}\n`)
}

/** As image-install --update-key does. */
export async function trustSigner(image: string, { publicPem }: UpdateSigner): Promise<void> {
  const folder = join(image, 'etc/panorama-agent/update-keys')
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'vendor.pem'), publicPem)
}

export async function installedVersion({ container }: Appliance): Promise<string> {
  return (await container.run('dpkg-query', '--show', '--showformat=${Version}', 'panorama-agent')).stdout
}

/** Of the package that an update would go back to. */
export async function keptVersion({ container }: Appliance): Promise<string> {
  const { stdout } = await container.run('dpkg-deb', '--field', `${updatesFolder}/installed.deb`, 'Version')
  return stdout.trim()
}

export interface LastUpdate {
  readonly id?: string
  readonly outcome?: string
  readonly from?: string
  readonly to?: string
  readonly reason?: string
}

export async function lastUpdate(appliance: Appliance): Promise<LastUpdate> {
  const text = await appliance.read(`${updatesFolder}/last-update.json`).catch(() => '{}')
  return JSON.parse(text) as LastUpdate
}

export async function untilTrialIsGone({ container }: Appliance): Promise<void> {
  const unit = '/etc/systemd/system/panorama-agent-update.service'
  const places = `${updatesFolder}/trial.json ${updatesFolder}/program ${unit}`
  await pollUntil('nothing is left of the trial', async () => {
    const { stdout } = await container.run('sh', '-c', `ls -d ${places} 2>/dev/null || true`)
    return stdout === ''
  })
}

/** As a person would, from whatever version. */
export async function installOriginal(appliance: Appliance): Promise<void> {
  await appliance.container.run('dpkg', '--install', `/var/tmp/${basename(inject('packageFile'))}`)
  await appliance.until(isWell)
}
