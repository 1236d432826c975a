import { copyFile, mkdir, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'

import { releasedAtMs } from '../build-info.ts'
import { createProvisioner } from '../composition/first-boot/claim-provisioner.ts'
import { identityFolderIn, lacksIdentity, readUnprovisioned } from '../config/base-document.ts'
import type { UnprovisionedConfig } from '../config/config-schema.ts'
import { parseJson, parseUnprovisioned, readConfigDocument } from '../config/load-config.ts'
import { readLastKnown } from '../credentials/clock-state.ts'
import type { KeyPair } from '../identity/fleet-provisioning.ts'
import { openIdentityStore } from '../identity/identity-store.ts'
import { LeftOverCertificates } from '../identity/left-over-certificates.ts'
import { orphanOf } from '../identity/pending-identity.ts'
import type { StoredIdentity } from '../identity/stored-identity.ts'
import { writeFileAtomic } from '../lib/atomic-file.ts'
import { isClockSynchronised } from '../lib/clock-synchronised.ts'
import { AgentError, errorCode, UsageError } from '../lib/errors.ts'
import { createLog, streamSink, type Log } from '../lib/log.ts'
import { createSessionClock } from '../composition/session/session-clock.ts'
import { createSessionNetwork } from '../composition/session/session-network.ts'
import { lockState, makeFolders } from '../composition/session/state-folders.ts'
import { datesWarning } from './certificate-dates.ts'
import type { CommandContext } from './command-context.ts'
import { asOwner, becomeOwner } from './folder-owner.ts'
import { provisionInForeground } from './provision-by-claim.ts'
import { readInput, thingNameFor, type ProvisioningInput, type ProvisionOptions } from './provisioning-input.ts'
import { certificateIdOf, claimSection, replacedClaim, replacedIdentity } from './provisioning-target.ts'

/**
 * `panorama-agent provision`: gives this appliance an identity by hand, from files or an archive, or by claim in the
 * foreground. No agent may run meanwhile. What is written belongs to the owner of the state folder. Nothing is changed before all
 * that was given is known to be good.
 */
export async function provision(options: ProvisionOptions, context: CommandContext): Promise<void> {
  const { configFile } = options
  const input = await readInput(options)
  const config = await configOf(configFile, input.archive['config.json'])
  const log = createLog({ level: 'info', sinks: [streamSink(context.stderr)] })
  const plan = await planOf({ input, config, options, log })
  const { paths } = config
  await using _ = await asOwner(paths.state, async () => {
    await makeFolders(paths, log)
    return await lockState(paths.state, log)
  })
  await takeConfig(configFile, input.archive['config.json'], context)
  await becomeOwner(paths.state)
  if (plan.claim !== undefined) await keepClaim(config, plan.claim, context)
  if (plan.device !== undefined) await keepDevice({ config, log, ...plan.device }, context)
  if (options.claim === true) await provisionNow(configFile, log, context)
}

interface Given {
  readonly input: ProvisioningInput
  readonly config: UnprovisionedConfig
  readonly options: ProvisionOptions
  readonly log: Log
}

interface DevicePlan {
  readonly pair: KeyPair
  readonly thingName: string
  /** What it takes the place of. */
  readonly before: StoredIdentity | undefined
}

interface ClaimPlan {
  readonly pair: KeyPair
  readonly before: string | undefined
}

interface Plan {
  readonly device: DevicePlan | undefined
  readonly claim: ClaimPlan | undefined
}

/** Reads only. */
async function planOf({ input, config, options, log }: Given): Promise<Plan> {
  const { device, claim, archive } = input
  const replacing = { config, replace: options.replace === true }
  if (options.claim === true) {
    claimSection(config)
    if (!(await lacksIdentity(config))) throw provisioned()
  }
  await refuseOutOfDate([device, claim], { config, log })
  return {
    claim: claim === undefined ? undefined : { pair: claim, before: await replacedClaim(replacing, claim) },
    device:
      device === undefined
        ? undefined
        : {
            pair: device,
            thingName: thingNameFor(options, archive, config),
            before: await replacedIdentity(replacing, device),
          },
  }
}

function provisioned(): UsageError {
  return new UsageError('this appliance has an identity already', {
    hint: 'wipe it first (panorama-agent reset), or have a job rotate-certificate renew it; identity.certificate in the configuration is one, too',
  })
}

async function refuseOutOfDate(
  pairs: readonly (KeyPair | undefined)[],
  { config, log }: Pick<Given, 'config' | 'log'>,
): Promise<void> {
  const lastKnownMs = (await readLastKnown({ folder: config.paths.state, log }).catch(() => undefined)) ?? 0
  const isRight = isClockSynchronised() === true
  const time = { nowMs: Date.now(), isRight, notBeforeMs: Math.max(releasedAtMs, lastKnownMs) }
  for (const pair of pairs) {
    const warning = pair === undefined ? undefined : datesWarning(pair.certificate, time)
    if (warning !== undefined) log.warn(warning)
  }
}

async function configOf(file: string, text: string | undefined): Promise<UnprovisionedConfig> {
  if (text === undefined) return parseUnprovisioned(await readConfigDocument(file), file)
  const name = 'config.json in the archive'
  return parseUnprovisioned(parseJson(text, name), name)
}

/** The one before is kept beside it. */
async function takeConfig(file: string, text: string | undefined, { stdout }: CommandContext): Promise<void> {
  if (text === undefined) return
  const before = await readFile(file, 'utf8').catch(() => undefined)
  if (before === text) return
  if (before !== undefined) await copied(file, `${file}.before`)
  await mkdir(dirname(file), { recursive: true })
  await writeFileAtomic(file, text, { mode: 0o644 })
  stdout.write(`${file} is that of the archive${before === undefined ? '' : `; the one before is ${file}.before`}\n`)
}

async function copied(from: string, to: string): Promise<void> {
  await copyFile(from, to).catch((error: unknown) => {
    const code = errorCode(error) ?? 'unknown error'
    throw new AgentError(`${from} cannot be kept as ${to} (${code}), and so is not replaced`, {
      hint: code === 'ENOSPC' ? 'free some space' : 'run this as root',
    })
  })
}

async function keepClaim(
  config: UnprovisionedConfig,
  { pair, before }: ClaimPlan,
  { stdout }: CommandContext,
): Promise<void> {
  const { claimCertificate, claimPrivateKey } = claimSection(config)
  await writeFileAtomic(claimPrivateKey, pair.privateKey, { mode: 0o600 })
  await writeFileAtomic(claimCertificate, pair.certificate, { mode: 0o600 })
  stdout.write(`the claim is in ${dirname(claimCertificate)}\n`)
  if (before !== undefined) stdout.write(`the claim before was certificate ${before}\n`)
  const current = await storeOf(config).current()
  if (current === undefined) return
  stdout.write(`it changes nothing now: this appliance is ${current.thingName} already, and needs it after a reset\n`)
}

interface DeviceTarget extends DevicePlan {
  readonly config: UnprovisionedConfig
  readonly log: Log
}

async function keepDevice(target: DeviceTarget, { stdout }: CommandContext): Promise<void> {
  const { config, thingName, log, pair, before } = target
  const store = storeOf(config, log)
  const certificateId = certificateIdOf(pair.certificate)
  const leftOver = leftOverOf(config, log)
  const orphan = orphanOf(await store.pending())
  if (orphan !== undefined) await leftOver.note({ certificateId: orphan, why: 'orphan' }, certificateId)
  await store.dropPending() // or it would be gone on with
  await store.adopt({ ...pair, kind: 'files', certificateId }, thingName)
  await store.settle('new')
  if (before !== undefined) {
    await leftOver.note({ certificateId: before.certificateId, why: 'deactivate' }, certificateId)
  }
  stdout.write(`${thingName} has certificate ${certificateId}; start the agent to use it\n`)
  if (before !== undefined) {
    stdout.write(`deactivate certificate ${before.certificateId} of ${before.thingName} in AWS IoT: nobody uses it\n`)
  }
}

function storeOf({ paths }: UnprovisionedConfig, log: Log = createLog({ level: 'error', sinks: [] })) {
  return openIdentityStore({ folder: identityFolderIn(paths.state), log, now: Date.now })
}

function leftOverOf({ paths }: UnprovisionedConfig, log: Log): LeftOverCertificates {
  return new LeftOverCertificates({ folder: identityFolderIn(paths.state), log, now: Date.now })
}

async function provisionNow(configFile: string, log: Log, { stdout, signal, service }: CommandContext): Promise<void> {
  const config = await readUnprovisioned(configFile)
  if (config === undefined) throw provisioned()
  const { clock } = await createSessionClock({ paths: config.paths, log })
  await using way = await createSessionNetwork({ config, log, clock, proxyEnvironment: service.proxy })
  const leftOver = leftOverOf(config, log)
  const provisionOnce = createProvisioner({ config, clock, log, way, leftOver })
  const { thingName, certificateId } = await provisionInForeground({ provision: provisionOnce, log, signal })
  stdout.write(`${thingName} has certificate ${certificateId}; start the agent to use it\n`)
}
