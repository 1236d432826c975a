import { X509Certificate } from 'node:crypto'
import { readFile, realpath } from 'node:fs/promises'
import { isAbsolute, join, relative, resolve, sep } from 'node:path'

import { identityFolderIn } from '../config/base-document.ts'
import type { UnprovisionedConfig } from '../config/config-schema.ts'
import { parseJson, parseUnprovisioned } from '../config/load-config.ts'
import { readIdentity } from '../identity/identity.ts'
import { isPair, readStoredIdentity } from '../identity/stored-identity.ts'
import { reportError } from '../lib/errors.ts'
import { keptInRuntime, othersInState, secretsInState } from '../reset/kept-entries.ts'
import { keptAmong } from '../reset/wipe-folder.ts'
import { readArchive, type ArchiveContents } from './provisioning-archive.ts'
import { thingNameFor } from './provisioning-input.ts'
import { certificateIdOf } from './provisioning-target.ts'

/** What an archive holds, or why it cannot be read. */
export interface OpenedArchive {
  readonly path: string
  readonly contents?: ArchiveContents
  readonly fault?: string
}

/** How the appliance gets an identity again once it was reset. */
export interface WayBack {
  /** What to do, or what the agent does; undefined where there is no way. */
  readonly found: string | undefined
  /** What was looked for and does not do, with the files and the reason. */
  readonly faults: readonly string[]
}

/** To be called with the rights that whoever gave the archive has. */
export async function openArchive(path: string): Promise<OpenedArchive> {
  try {
    return { path, contents: await readArchive(path) }
  } catch (error) {
    return { path, fault: reportError(error).message }
  }
}

/** Looks for an archive, a claim and a seed, with the rights that the agent has. Changes nothing, and asks nobody. */
export async function findWayBack(config: UnprovisionedConfig, archive?: OpenedArchive): Promise<WayBack> {
  const faults: string[] = []
  for (const look of [() => archiveFault(config, archive), () => claimFault(config), () => seedFault(config)]) {
    const { fault, way } = await look()
    if (fault === undefined) return { found: way, faults }
    faults.push(fault)
  }
  return { found: undefined, faults }
}

interface Looked {
  readonly way: string
  readonly fault?: string
}

async function archiveFault(config: UnprovisionedConfig, archive: OpenedArchive | undefined): Promise<Looked> {
  if (archive === undefined) return { way: '', fault: 'an archive: --archive does not name one' }
  const { path, contents = {}, fault } = archive
  const way = `panorama-agent provision --archive ${path}`
  if (fault !== undefined) return { way, fault: `the archive ${path}: ${fault}` }
  if (await isWiped(path, config.paths)) return { way, fault: `the archive ${path}: it lies in what is wiped` }
  const why = whyOfNoUse(contents, config)
  return why === undefined ? { way } : { way, fault: `the archive ${path}: ${why}` }
}

/** What `provision --archive` would refuse, or could do nothing with. */
function whyOfNoUse(contents: ArchiveContents, config: UnprovisionedConfig): string | undefined {
  const device = contents['certificate.pem'] ?? ''
  const claim = contents['claim-certificate.pem'] ?? ''
  try {
    const afterwards = configIn(contents) ?? config
    if (isPair(device, contents['private.key'] ?? '')) {
      thingNameFor({ configFile: '' }, contents, afterwards)
      return endOf(device)
    }
    if (isPair(claim, contents['claim-private.key'] ?? '')) return whyUnused(afterwards) ?? endOf(claim)
    return 'it holds neither certificate.pem with its private.key nor claim-certificate.pem with its claim-private.key'
  } catch (error) {
    return reportError(error).message
  }
}

function configIn(contents: ArchiveContents): UnprovisionedConfig | undefined {
  const text = contents['config.json']
  const name = 'its config.json'
  return text === undefined ? undefined : parseUnprovisioned(parseJson(text, name), name)
}

/** Why a claim is. */
function whyUnused({ provisioning, identity }: UnprovisionedConfig): string | undefined {
  if (provisioning === undefined)
    return 'its claim is not used, because the configuration has no section "provisioning"'
  if (identity.certificate === undefined) return undefined
  return 'its claim is not used, because the configuration names identity.certificate'
}

function endOf(pem: string): string | undefined {
  const { validToDate } = new X509Certificate(pem)
  return validToDate.getTime() > Date.now() ? undefined : `the certificate ended at ${validToDate.toISOString()}`
}

async function claimFault(config: UnprovisionedConfig): Promise<Looked> {
  const { provisioning, identity } = config
  if (provisioning === undefined) return { way: '', fault: 'a claim: the configuration has no section "provisioning"' }
  const { claimCertificate: certificate, claimPrivateKey: privateKey } = provisioning
  const way = `the agent provisions itself with the claim ${certificate}`
  if (identity.certificate !== undefined) {
    const why = 'it is not used, because the configuration names identity.certificate'
    return { way, fault: `the claim ${certificate} with ${privateKey}: ${why}` }
  }
  return withFault(way, 'the claim', await pairFault(config, { certificate, privateKey }))
}

async function seedFault(config: UnprovisionedConfig): Promise<Looked> {
  const { certificate, privateKey } = config.identity
  if (certificate === undefined || privateKey === undefined) {
    return {
      way: '',
      fault: 'an identity of the image: the configuration names no identity.certificate and privateKey',
    }
  }
  const way = `the agent uses the identity ${certificate}`
  const fault = await pairFault(config, { certificate, privateKey })
  if (fault !== undefined) return { way, fault: `the identity ${fault}` }
  // what was rotated away is to be deactivated, which only AWS IoT knows
  const current = await readStoredIdentity(join(identityFolderIn(config.paths.state), 'current')).catch(() => undefined)
  if (current === undefined || current.certificateId === certificateIdOf(await readFile(certificate, 'utf8')))
    return { way }
  const why = `the appliance has had certificate ${current.certificateId} since, so that this one is to be deactivated`
  return { way, fault: `the identity ${certificate}: ${why}` }
}

function withFault(way: string, what: string, fault: string | undefined): Looked {
  return fault === undefined ? { way } : { way, fault: `${what} ${fault}` }
}

interface PairFiles {
  readonly certificate: string
  readonly privateKey: string
}

async function pairFault({ identity, paths }: UnprovisionedConfig, pair: PairFiles): Promise<string | undefined> {
  const what = `${pair.certificate} with ${pair.privateKey}`
  for (const path of [pair.certificate, pair.privateKey]) {
    if (await isWiped(path, paths)) return `${what}: ${path} lies in what is wiped`
  }
  try {
    const { notAfterMs } = await readIdentity({ ...pair, rootCa: identity.rootCa })
    if (notAfterMs > Date.now()) return undefined
    return `${what}: the certificate ended at ${new Date(notAfterMs).toISOString()}`
  } catch (error) {
    return `${what}: ${reportError(error).message}`
  }
}

async function isWiped(path: string, { state, runtime }: UnprovisionedConfig['paths']): Promise<boolean> {
  const at = await real(path)
  for (const [folder, entries] of [
    [state, [...secretsInState, ...othersInState]],
    [runtime, keptInRuntime],
  ] as const) {
    const inside = relative(await real(folder), at)
    const [first = ''] = inside.split(sep)
    if (!isAbsolute(inside) && keptAmong([first], entries).length > 0) return true
  }
  return false
}

async function real(path: string): Promise<string> {
  return await realpath(path).catch(() => resolve(path))
}
