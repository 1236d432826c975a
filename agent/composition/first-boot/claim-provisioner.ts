import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'

import { ConnectionRefusedError, TlsFailedError } from '../../aws/iot-connection-errors.ts'
import { createIotCredentialSource, type ClientIdentity } from '../../aws/iot-credential-source.ts'
import { identityFolderIn } from '../../config/base-document.ts'
import type { ProvisioningConfig, UnprovisionedConfig } from '../../config/config-schema.ts'
import type { ServerClock } from '../../credentials/server-clock.ts'
import { provisionByClaim, type ClaimProvisioningOptions, type ClaimTarget } from '../../identity/claim-provisioning.ts'
import type { Patience } from '../../identity/claim-proof.ts'
import type { IdentityProof, KeyPair } from '../../identity/fleet-provisioning.ts'
import { IdentityError, readIdentity, readRootCa } from '../../identity/identity.ts'
import { openIdentityStore } from '../../identity/identity-store.ts'
import type { LeftOverCertificates } from '../../identity/left-over-certificates.ts'
import type { ProvisioningStep } from '../../identity/provisioning-step.ts'
import { readSerialNumber } from '../../identity/serial-number.ts'
import type { StoredIdentity } from '../../identity/stored-identity.ts'
import { syncFolder } from '../../lib/atomic-file.ts'
import { AgentError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { loadMqttClient } from '../control/mqtt-client.ts'
import type { WayToCloud } from '../session/way-to-cloud.ts'

export interface ProvisionerOptions {
  readonly config: UnprovisionedConfig
  readonly clock: ServerClock
  readonly log: Log
  readonly way: Pick<WayToCloud, 'dialer' | 'serviceTrust' | 'counter'>
  /** Of the same identity folder. */
  readonly leftOver: LeftOverCertificates
  readonly patience?: Patience | undefined
}

/** One attempt to get a proven identity; see `provisionByClaim`. */
export type Provisioner = (signal: AbortSignal, onStep: (step: ProvisioningStep) => void) => Promise<StoredIdentity>

/** Something on the appliance itself is missing, which a person or another service may bring at any time. */
export class NotReadyError extends AgentError {
  override readonly name = 'NotReadyError'
}

/** Joins provisioning by claim to AWS IoT and to the disk. */
export function createProvisioner(options: ProvisionerOptions): Provisioner {
  const { config, clock, log, leftOver, patience } = options
  const settings = config.provisioning
  if (settings === undefined) throw new AgentError('the configuration has no section "provisioning"')
  const store = openIdentityStore({ folder: identityFolderIn(config.paths.state), log, now: () => clock.now() })
  const claim: ClaimProvisioningOptions = {
    store,
    target: () => readTarget(config, settings),
    connect: (clientId, signal) => connectWithClaim({ ...options, settings, clientId }, signal),
    proof: proofOf(options),
    leftOver,
    log,
    ...(settings.deleteClaim ? { deleteClaim: () => deleteClaim(settings) } : {}),
    ...(patience === undefined ? {} : { patience }),
  }
  return (signal, onStep) => provisionByClaim(claim, { signal, onStep })
}

async function readTarget({ device }: UnprovisionedConfig, settings: ProvisioningConfig): Promise<ClaimTarget> {
  const { template, serialNumberFile, thingName, parameters } = settings
  const serial = await readSerialNumber(serialNumberFile).catch((cause: unknown) => {
    throw new NotReadyError('there is no serial number', { cause })
  })
  return {
    template,
    clientId: `${template}-${serial}`,
    parameters: { ...parameters, SerialNumber: serial },
    expectedThing: device.thingName ?? thingName.replace('{serial}', serial),
  }
}

interface ClaimConnection extends ProvisionerOptions {
  readonly settings: ProvisioningConfig
  readonly clientId: string
}

async function connectWithClaim({ settings, clientId, ...options }: ClaimConnection, signal: AbortSignal) {
  const { config, clock, way } = options
  const { rootCa } = config.identity
  const paths = { certificate: settings.claimCertificate, privateKey: settings.claimPrivateKey, rootCa }
  const identity = await readIdentity(paths).catch((cause: unknown) => {
    const hint = 'put the claim there (scripts/image-install --claim), or provision by hand: panorama-agent provision'
    const isMissing = cause instanceof IdentityError && cause.fault === 'missing'
    throw new NotReadyError('there is no claim', { cause, ...(isMissing ? { hint } : {}) })
  })
  const { connectFleetProvisioning } = await loadMqttClient(() => import('../../aws/iot-fleet-provisioning.ts'))
  const { template } = settings
  const connection = {
    endpoint: endpointOf(config),
    clientId,
    identity,
    template,
    clockOffsetMs: () => clock.offsetMs(),
    ...wayOf(way),
  }
  try {
    return await connectFleetProvisioning(connection, signal)
  } catch (cause) {
    signal.throwIfAborted()
    await learnTime({ ...options, identity, clientId }, signal)
    throw claimFailed(cause, clock.offsetMs())
  }
}

/** A refusal needs a person. What is known of the clock may have come after the failure. */
function claimFailed(fault: unknown, clockOffsetMs: number): AgentError {
  const cause = fault instanceof TlsFailedError ? fault.knowing(clockOffsetMs) : fault
  const isRefusal = cause instanceof ConnectionRefusedError
  const message = isRefusal ? 'the claim is refused' : 'there is no connection with the claim'
  return new AgentError(message, { cause, retryable: !isRefusal, retrySlowly: false })
}

/**
 * TLS of MQTT goes by the system clock, which may be wrong at a first boot. The credentials endpoint refuses a claim, and
 * tells the time with that: then root can be asked to set the clock.
 */
async function learnTime(
  { config, clock, way, identity, clientId }: ProvisionerOptions & { identity: ClientIdentity; clientId: string },
  signal: AbortSignal,
): Promise<void> {
  if (clock.lastKnownMs() !== undefined) return
  const source = createIotCredentialSource({
    endpoint: config.endpoints.credentials,
    roleAlias: config.role.alias,
    thingName: clientId,
    loadIdentity: () => Promise.resolve(identity),
    cloudNow: () => clock.now(),
    onDate: (sample) => clock.observe(sample),
    dialer: way.dialer,
  })
  await source.fetch(signal).catch(() => undefined) // a refusal is what is expected
}

function proofOf({ config, clock, way }: ProvisionerOptions): IdentityProof {
  const identityOf = async ({ certificate, privateKey }: KeyPair): Promise<ClientIdentity> => ({
    certificate,
    privateKey,
    roots: await readRootCa(config.identity.rootCa),
  })
  return {
    connect: async (pair, thingName, signal) => {
      const identity = await identityOf(pair)
      const { attemptConnection } = await loadMqttClient(() => import('../../aws/iot-fleet-provisioning.ts'))
      const clockOffsetMs = (): number => clock.offsetMs()
      return await attemptConnection(
        { endpoint: endpointOf(config), clientId: thingName, identity, clockOffsetMs, ...wayOf(way) },
        signal,
      )
    },
    getCredentials: async (pair, thingName, signal) => {
      const source = createIotCredentialSource({
        endpoint: config.endpoints.credentials,
        roleAlias: config.role.alias,
        thingName,
        loadIdentity: () => identityOf(pair),
        cloudNow: () => clock.now(),
        onDate: (sample) => clock.observe(sample),
        dialer: way.dialer,
      })
      await source.fetch(signal)
    },
  }
}

/** What connections need of it. */
function wayOf({ dialer, serviceTrust, counter }: ProvisionerOptions['way']): ProvisionerOptions['way'] {
  return { dialer, serviceTrust, counter }
}

function endpointOf({ endpoints }: UnprovisionedConfig): string {
  if (endpoints.mqtt === undefined) throw new AgentError('the configuration has no endpoints.mqtt')
  return endpoints.mqtt
}

/** The key first: a certificate by itself lets nobody in. */
async function deleteClaim({ claimPrivateKey, claimCertificate }: ProvisioningConfig): Promise<void> {
  for (const path of [claimPrivateKey, claimCertificate]) {
    await rm(path, { force: true }).catch((cause: unknown) => {
      throw new AgentError(`${path} cannot be deleted`, {
        hint: `delete it by hand; the agent can do so in a folder of its own that ReadWritePaths= of its unit names`,
        cause,
      })
    })
    await syncFolder(dirname(path))
  }
}
