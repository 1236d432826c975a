import { X509Certificate } from 'node:crypto'

import type { CertificateRotation } from '../../identity/certificate-rotation.ts'
import type { FleetProvisioning } from '../../identity/fleet-provisioning.ts'
import type { IdentityStore } from '../../identity/identity-store.ts'
import type { LeftOverCertificates } from '../../identity/left-over-certificates.ts'
import { requestRotation } from '../../identity/request-rotation.ts'
import type { RotationActions, WantedRotation } from '../../jobs/job-actions.ts'
import { AgentError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'

/** What rotates the certificate of a session. */
export interface RotationActionsOptions {
  readonly rotation: CertificateRotation
  readonly store: IdentityStore
  readonly leftOver: LeftOverCertificates
  /** Undefined where the configuration has no provisioning. */
  readonly template: string | undefined
  readonly thingName: string
  /** The certificate in use, in PEM. */
  readonly certificate: () => Promise<string>
  readonly provisioning: (template: string) => Promise<FleetProvisioning>
  /** Has a session that loads its identity anew follow this one. */
  readonly renewSession: () => void
  readonly log: Log
}

export function rotationActions(options: RotationActionsOptions): RotationActions {
  const { rotation, leftOver, renewSession, log } = options
  return {
    begin: async (wanted, signal) => {
      if (await begin(options, wanted, signal)) renewSession()
    },
    settled: async (id, signal) => {
      const outcome = await rotation.settled(id, signal)
      if (outcome === undefined) throw new AgentError('nothing is known of this rotation any more')
      return outcome.state === 'rotated' ? { kind: 'rotated', ...outcome } : { kind: 'failed', ...outcome }
    },
    giveUp: async (id, reason) => {
      if (await rotation.giveUp(reason, id)) renewSession()
    },
    forget: async (certificateIds, signal) => {
      signal.throwIfAborted()
      const forgotten = await leftOver.forget(certificateIds)
      if (forgotten.length > 0)
        log.info('certificates that were to be deactivated are taken off the list', { forgotten })
      return forgotten
    },
  }
}

async function begin(options: RotationActionsOptions, wanted: WantedRotation, signal: AbortSignal): Promise<boolean> {
  const { rotation, store, leftOver, template, thingName, log } = options
  if (template === undefined) {
    throw new AgentError('the certificate cannot be rotated: the configuration has no provisioning', {
      hint: 'name the rotation template in provisioning.rotationTemplate: see config/cloud/provisioning',
    })
  }
  const certificateId = certificateIdOf(await options.certificate())
  const request = async (end: AbortSignal, onTried: (error: unknown) => void): ReturnType<typeof requestRotation> => {
    await using provisioning = await options.provisioning(template)
    return await requestRotation({ store, leftOver, provisioning, template, thingName, log, onTried }, end)
  }
  return await rotation.begin({ ...wanted, thingName, certificateId, request }, signal)
}

/** AWS IoT names a certificate by the SHA-256 of its DER (API Reference, "DescribeCertificate"). */
function certificateIdOf(pem: string): string {
  return new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase()
}
