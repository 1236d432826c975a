import { join } from 'node:path'

import { z } from 'zod'

/** What the process of a factory floor is told to do. */
export const floorOrder = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('switch-on'), count: z.number(), withinMs: z.number() }),
  z.strictObject({ kind: z.literal('say') }),
])

/** What it tells. Appliances are numbered from 1. */
export const floorNews = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('provisioned'), number: z.number() }),
  z.strictObject({ kind: z.literal('gave-up'), number: z.number(), why: z.string() }),
  z.strictObject({
    kind: z.literal('said'),
    /** How often each text was logged by all of them. */
    counts: z.array(z.tuple([z.string(), z.number()])),
    residentBytes: z.number(),
  }),
])

export type FloorOrder = z.infer<typeof floorOrder>
export type FloorNews = z.infer<typeof floorNews>

export function imageFolder(folder: string, number: number): string {
  return join(folder, `SN-${number}`)
}
