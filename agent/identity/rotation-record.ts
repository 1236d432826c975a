import * as z from 'zod'

import { certificateIdSchema } from './stored-identity.ts'

const base = {
  version: z.literal(1),
  /** Of whoever asked for it. */
  id: z.string().min(1).max(200),
  at: z.iso.datetime(),
  /** What was in use before. */
  previousCertificateId: certificateIdSchema,
  /** How long the trial may take. */
  confirmSeconds: z.int().min(1).max(3_600),
}

/** `rotation.json`: the last rotation of the certificate, under way or over. */
const recordSchema = z.discriminatedUnion('state', [
  z.object({ ...base, state: z.literal('under-way') }),
  /** `starts` counts those of the process while it is on trial. */
  z.object({ ...base, state: z.literal('trial'), certificateId: certificateIdSchema, starts: z.int().min(0) }),
  z.object({ ...base, state: z.literal('rotated'), certificateId: certificateIdSchema }),
  /** An orphan is registered, or may be, and is used by nobody. */
  z.object({
    ...base,
    state: z.literal('failed'),
    reason: z.string().max(2048),
    orphanCertificateId: certificateIdSchema.optional(),
  }),
])

export type RotationRecord = z.infer<typeof recordSchema>
export type RotationOutcome = Extract<RotationRecord, { state: 'rotated' | 'failed' }>

export function parseRotationRecord(json: unknown): RotationRecord {
  return recordSchema.parse(json)
}

export function isOver(record: RotationRecord): record is RotationOutcome {
  return record.state === 'rotated' || record.state === 'failed'
}
