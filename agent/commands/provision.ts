import { createHash, X509Certificate } from 'node:crypto'
import { copyFile, mkdir, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'

import { createProvisioner } from '../claim-provisioner.ts'
import { identityFolderIn, readUnprovisioned } from '../config/base-document.ts'
import type { ProvisioningConfig, UnprovisionedConfig } from '../config/config-schema.ts'
import { parseUnprovisioned, readConfigDocument } from '../config/load-config.ts'
import type { KeyPair } from '../identity/fleet-provisioning.ts'
import { openIdentityStore } from '../identity/identity-store.ts'
import { LeftOverCertificates } from '../identity/left-over-certificates.ts'
import { orphanOf } from '../identity/pending-identity.ts'
import { isPair, thingNameSchema } from '../identity/stored-identity.ts'
import { writeFileAtomic } from '../lib/atomic-file.ts'
import { AgentError, errorCode } from '../lib/errors.ts'
import { createLog, streamSink, type Log } from '../lib/log.ts'
import { createSessionClock } from '../session-clock.ts'
import { createSessionNetwork } from '../session-network.ts'
import { lockState, makeFolders } from '../state-folders.ts'
import type { CommandContext } from './command-context.ts'
import { asOwner, becomeOwner } from './folder-owner.ts'
import { readArchive, type ArchiveContents } from './provisioning-archive.ts'

export interface ProvisionOptions {
  readonly configFile: string
  readonly certificate?: string
  readonly privateKey?: string
  readonly thingName?: string
  /** A configuration archive. */
  readonly archive?: string
  /** Get an identity by claim, now. */
  readonly claim?: boolean
}

/**
 * `panorama-agent provision`: gives this appliance an identity by hand, from files or an archive, or by claim in the
 * foreground. No agent may run meanwhile. What is written belongs to the owner of the state folder.
 */
export async function provision(options: ProvisionOptions, context: CommandContext): Promise<void> {
  const archive = options.archive === undefined ? {} : await readArchive(options.archive)
  const device = await devicePair(options, archive)
  const claim = pairOf(archive['claim-certificate.pem'], archive['claim-private.key'], 'the claim in the archive')
  if (device === undefined && claim === undefined && options.claim !== true) {
    throw new AgentError('there is nothing to provision with', {
      hint: 'give --certificate and --private-key, an --archive with them or with a claim, or --claim',
    })
  }
  // nothing is changed before all of it is known to be good
  const config = await configOf(options.configFile, archive['config.json'])
  const claimTarget = claim === undefined ? undefined : sectionOf(config)
  const thingName = device === undefined ? undefined : thingNameFor(options, archive, config)
  const log = createLog({ level: 'info', sinks: [streamSink(context.stderr)] })
  const { paths } = config
  await using _ = await asOwner(paths.state, async () => {
    await makeFolders(paths, log)
    return await lockState(paths.state, log)
  })
  await takeConfig(options.configFile, archive['config.json'], context)
  await becomeOwner(paths.state)
  if (claim !== undefined && claimTarget !== undefined) await keepClaim(claimTarget, claim, context)
  if (device !== undefined && thingName !== undefined) await keepDevice({ config, log, thingName }, device, context)
  if (options.claim === true) await provisionNow(options.configFile, log, context)
}

async function devicePair(options: ProvisionOptions, archive: ArchiveContents): Promise<KeyPair | undefined> {
  const { certificate, privateKey } = options
  const pair = pairOf(archive['certificate.pem'], archive['private.key'], 'the archive')
  if (certificate === undefined && privateKey === undefined) return pair
  if (certificate === undefined || privateKey === undefined) {
    throw new AgentError('a certificate needs its private key', { hint: 'give both --certificate and --private-key' })
  }
  if (pair !== undefined)
    throw new AgentError('the archive holds a certificate, too', { hint: 'give only one of them' })
  const what = `${certificate} and ${privateKey}`
  return pairOf(await readText(certificate), await readText(privateKey), what)
}

function pairOf(certificate: string | undefined, privateKey: string | undefined, what: string): KeyPair | undefined {
  if (certificate === undefined && privateKey === undefined) return undefined
  if (certificate !== undefined && privateKey !== undefined && isPair(certificate, privateKey)) {
    return { certificate, privateKey }
  }
  throw new AgentError(`${what}: there is no certificate with the private key that belongs to it`, {
    hint: 'give both in PEM, the key unencrypted',
  })
}

function thingNameFor(options: ProvisionOptions, archive: ArchiveContents, config: UnprovisionedConfig): string {
  const named = options.thingName ?? archive['thing-name']?.trim() ?? config.device.thingName
  if (thingNameSchema.safeParse(named).success && named !== undefined) return named
  throw new AgentError(
    named === undefined ? 'the thing of the certificate is not named' : `${named} is no thing name`,
    {
      hint: 'give --thing-name, a file thing-name in the archive, or device.thingName in the configuration',
    },
  )
}

async function configOf(file: string, text: string | undefined): Promise<UnprovisionedConfig> {
  if (text === undefined) return parseUnprovisioned(await readConfigDocument(file), file)
  return parseUnprovisioned(parseJson(text), 'config.json in the archive')
}

/** The one before is kept beside it. */
async function takeConfig(file: string, text: string | undefined, { stdout }: CommandContext): Promise<void> {
  if (text === undefined) return
  const before = await readFile(file, 'utf8').catch(() => undefined)
  if (before === text) return
  if (before !== undefined) await copyFile(file, `${file}.before`)
  await mkdir(dirname(file), { recursive: true })
  await writeFileAtomic(file, text, { mode: 0o644 })
  stdout.write(`${file} is that of the archive${before === undefined ? '' : `; the one before is ${file}.before`}\n`)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new AgentError('config.json in the archive is not JSON', { cause })
  }
}

function sectionOf({ provisioning }: UnprovisionedConfig): ProvisioningConfig {
  if (provisioning !== undefined) return provisioning
  throw new AgentError('the configuration has no section "provisioning" for a claim')
}

async function keepClaim(
  { claimCertificate, claimPrivateKey }: ProvisioningConfig,
  claim: KeyPair,
  { stdout }: CommandContext,
): Promise<void> {
  await writeFileAtomic(claimPrivateKey, claim.privateKey, { mode: 0o600 })
  await writeFileAtomic(claimCertificate, claim.certificate, { mode: 0o600 })
  stdout.write(`the claim is in ${dirname(claimCertificate)}\n`)
}

interface DeviceTarget {
  readonly config: UnprovisionedConfig
  readonly thingName: string
  readonly log: Log
}

async function keepDevice(target: DeviceTarget, pair: KeyPair, { stdout }: CommandContext): Promise<void> {
  const { config, thingName, log } = target
  const folder = identityFolderIn(config.paths.state)
  const store = openIdentityStore({ folder, log, now: Date.now })
  const certificateId = createHash('sha256').update(new X509Certificate(pair.certificate).raw).digest('hex')
  const leftOver = leftOverOf(config, log)
  const orphan = orphanOf(await store.pending())
  if (orphan !== undefined) await leftOver.note({ certificateId: orphan, why: 'orphan' }, certificateId)
  const before = await store.current()
  await store.dropPending() // or it would be gone on with
  await store.adopt({ ...pair, kind: 'files', certificateId }, thingName)
  await store.settle('new')
  if (before !== undefined && before.certificateId !== certificateId) {
    await leftOver.note({ certificateId: before.certificateId, why: 'deactivate' }, certificateId)
  }
  stdout.write(`${thingName} has certificate ${certificateId}; start the agent to use it\n`)
}

function leftOverOf({ paths }: UnprovisionedConfig, log: Log): LeftOverCertificates {
  return new LeftOverCertificates({ folder: identityFolderIn(paths.state), log, now: Date.now })
}

async function provisionNow(configFile: string, log: Log, { stdout, signal, service }: CommandContext): Promise<void> {
  const config = await readUnprovisioned(configFile)
  if (config === undefined) throw new AgentError('this appliance has an identity already')
  const { clock } = await createSessionClock({ paths: config.paths, log })
  await using way = await createSessionNetwork({ config, log, clock, proxyEnvironment: service.proxy })
  const leftOver = leftOverOf(config, log)
  const provisionOnce = createProvisioner({ config, clock, log, way, leftOver })
  const { thingName, certificateId } = await provisionOnce(signal, (step) => {
    log.info('provisioning', { step })
  })
  stdout.write(`${thingName} has certificate ${certificateId}; start the agent to use it\n`)
}

async function readText(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new AgentError(`${path} cannot be read (${errorCode(cause) ?? 'unknown error'})`, { cause })
  })
}
