import { z } from 'zod'

import { createHandler, type HookEvent } from '../../../../config/cloud/provisioning/pre-provisioning-hook.mjs'
import { withDeadline } from '../../../../agent/lib/abort.ts'
import type { Appliances } from '../../appliances.ts'

export type { HookEvent }

/** A pre-provisioning hook, as AWS Lambda would run it. */
export type ProvisioningHook = (event: HookEvent) => Promise<unknown>

export interface HookAnswer {
  readonly allowed: boolean
  readonly parameterOverrides: Readonly<Record<string, string>>
}

const hookAnswer = z.object({
  allowProvisioning: z.literal(true),
  parameterOverrides: z.record(z.string(), z.string()).default({}),
})

/** The hook of `config/cloud/provisioning/`, the file itself, with the account of this cloud. */
export function shippedHook(appliances: Appliances): ProvisioningHook {
  return createHandler({
    listThings: ({ principal }) => {
      const certificateId = principal.split('/').at(-1) ?? ''
      return Promise.resolve({ things: appliances.thingsOf(certificateId) })
    },
    log: () => undefined,
  })
}

/** How long AWS IoT waits for a hook ("Pre-provisioning hooks"). */
export const hookLimitMs = 5000

export interface HookLimits {
  readonly signal: AbortSignal
  readonly withinMs: number
}

/** Asks a hook. One that fails, is late, or does not say `allowProvisioning: true` refuses. Never rejects. */
export async function askHook(
  hook: ProvisioningHook,
  event: HookEvent,
  { signal, withinMs }: HookLimits,
): Promise<HookAnswer> {
  try {
    const answer = await withDeadline({ signal, withinMs, what: 'the hook' }, () => hook(event))
    return { allowed: true, parameterOverrides: hookAnswer.parse(answer).parameterOverrides }
  } catch {
    return { allowed: false, parameterOverrides: {} }
  }
}
