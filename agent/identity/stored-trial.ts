import type { IdentityStore } from './identity-store.ts'
import type { RotationRecord } from './rotation-record.ts'

const usualConfirmSeconds = 300

/**
 * The trial that the identity in use must be on where an identity before it is kept and no claim is under way. A damaged
 * record is no reason to keep an identity for good that nobody has proven. `at` is ISO 8601.
 */
export async function trialOfStore(
  store: Pick<IdentityStore, 'previous' | 'current' | 'pending'>,
  at: string,
): Promise<RotationRecord | undefined> {
  const previous = await store.previous()
  const current = await store.current()
  if (previous === undefined || current === undefined || previous.id === current.id) return undefined
  if ((await store.pending())?.kind === 'claim') return undefined
  const [certificateId, previousCertificateId] = [current.certificateId, previous.certificateId]
  const base = { version: 1, id: 'found without a record', at, previousCertificateId } as const
  return { ...base, confirmSeconds: usualConfirmSeconds, state: 'trial', certificateId, starts: 0 }
}

type Trial = Extract<RotationRecord, { state: 'trial' }>

/** Whether the certificate on trial is the one in use. */
export async function isInUse(store: Pick<IdentityStore, 'current'>, { certificateId }: Trial): Promise<boolean> {
  return (await store.current())?.certificateId === certificateId
}

/** Puts the certificate on trial to use; answers whether it was there. May be repeated. */
export async function adoptHeld(
  store: Pick<IdentityStore, 'pending' | 'adopt'>,
  { certificateId }: Trial,
): Promise<boolean> {
  const pending = await store.pending()
  if (pending?.step !== 'registered' || pending.certificateId !== certificateId) return false
  if (pending.thingName === undefined) return false
  await store.adopt({ ...pending, kind: 'rotation' }, pending.thingName)
  return true
}
