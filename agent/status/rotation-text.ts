import type { LeftOverPart, RotationPart } from './status-document.ts'
import type { PartRows } from './status-rows.ts'

const maxReasonLength = 160
/** Enough to find a certificate in a list; `status --json` has the whole id. */
const shownIdLength = 12

/** What somebody should know of the last rotation of the certificate before anything else, as a sentence. */
export function rotationCaution(rotation: RotationPart | undefined): readonly string[] {
  switch (rotation?.state) {
    case 'under-way':
      return rotation.reason === undefined
        ? []
        : [`the rotation of the certificate does not get on: ${cut(rotation.reason)}`]
    case 'trial':
      return ['a new certificate is on trial, and the one before comes back unless it proves itself']
    case 'failed':
      return [`the last rotation of the certificate failed: ${cut(rotation.reason ?? 'it is not known why')}`]
    default:
      return []
  }
}

/** How the last rotation of the certificate went, in short. */
export function rotationNote({ state, at }: RotationPart, rows: PartRows): string {
  const since = rows.age(at)
  switch (state) {
    case 'under-way':
      return `its rotation is under way for ${since}`
    case 'trial':
      return `on trial for ${since}`
    case 'rotated':
      return `rotated ${since} ago`
    case 'failed':
      return `a rotation failed ${since} ago`
  }
}

/** Which certificates nobody uses any more, the newest first. */
export function leftOverNotes(leftOver: readonly LeftOverPart[] = []): readonly string[] {
  if (leftOver.length === 0) return []
  const [newest, ...others] = leftOver.toReversed()
  const id = newest?.certificateId.slice(0, shownIdLength) ?? ''
  const what = newest?.why === 'orphan' ? 'the one that was given up' : 'the one before'
  const more = others.length === 0 ? '' : ` and ${others.length} more`
  return [`${what}, ${id},${more} can be deactivated in AWS IoT`]
}

function cut(text: string): string {
  return text.length > maxReasonLength ? `${text.slice(0, maxReasonLength)}...` : text
}
