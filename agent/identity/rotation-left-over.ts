import type { LeftOverCertificates } from './left-over-certificates.ts'
import type { RotationOutcome } from './rotation-record.ts'

/** Lists the certificate that a rotation leaves in the account, and takes the one in use off the list. May be repeated. */
export async function listLeftOver(
  leftOver: Pick<LeftOverCertificates, 'note'>,
  outcome: RotationOutcome,
): Promise<void> {
  const { previousCertificateId } = outcome
  if (outcome.state === 'rotated') {
    await leftOver.note({ certificateId: previousCertificateId, why: 'deactivate' }, outcome.certificateId)
  } else if (outcome.orphanCertificateId !== undefined) {
    await leftOver.note({ certificateId: outcome.orphanCertificateId, why: 'orphan' }, previousCertificateId)
  }
}
