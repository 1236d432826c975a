import type { IdentityParts } from '../session/identities.ts'
import type { LeftOverCertificate } from '../../identity/left-over-certificates.ts'
import type { RotationRecord } from '../../identity/rotation-record.ts'
import type { ErrorReport } from '../../lib/errors.ts'
import type { RotationPart, StatusDocument } from '../../status/status-document.ts'

export interface RotationSources {
  /** The last one, under way or over. */
  readonly record: RotationRecord | undefined
  /** Why the one under way does not get on. */
  readonly trouble?: ErrorReport | undefined
  readonly leftOver: readonly LeftOverCertificate[]
}

/** As they are now. */
export function rotationSources({ rotation: { record, trouble }, leftOver }: IdentityParts): RotationSources {
  return { record, trouble, leftOver: leftOver.certificates }
}

type RotationParts = Pick<StatusDocument['identity'], 'rotation' | 'leftOver'>

/** The last rotation of the certificate, and which certificates somebody has to deactivate. */
export function rotationParts(sources: RotationSources | undefined): RotationParts {
  if (sources === undefined) return {}
  const { record } = sources
  const inUse = inUseOf(record)
  const leftOver = sources.leftOver.filter(({ certificateId }) => !inUse.includes(certificateId))
  return {
    ...(record === undefined ? {} : { rotation: rotationPart(record, sources) }),
    ...(leftOver.length === 0 ? {} : { leftOver }),
  }
}

/** What is decided is listed before it is recorded, so that after a power cut in between it can be otherwise. */
function inUseOf(record: RotationRecord | undefined): readonly string[] {
  if (record?.state === 'trial') return [record.certificateId, record.previousCertificateId]
  return record?.state === 'under-way' ? [record.previousCertificateId] : []
}

function rotationPart(record: RotationRecord, { leftOver, trouble }: RotationSources): RotationPart {
  const listed = (id: string | undefined): string | undefined =>
    leftOver.some(({ certificateId }) => certificateId === id) ? id : undefined
  const { state, at } = record
  switch (state) {
    case 'under-way':
      return { state, at, ...(trouble === undefined ? {} : { reason: troubleText(trouble) }) }
    case 'trial':
      return { state, at }
    case 'rotated': {
      const deactivate = listed(record.previousCertificateId)
      return { state, at, ...(deactivate === undefined ? {} : { deactivate }) }
    }
    case 'failed': {
      const orphan = listed(record.orphanCertificateId)
      return { state, at, reason: record.reason, ...(orphan === undefined ? {} : { orphan }) }
    }
  }
}

function troubleText({ message, hint }: ErrorReport): string {
  return hint === undefined ? message : `${message} (${hint})`
}
