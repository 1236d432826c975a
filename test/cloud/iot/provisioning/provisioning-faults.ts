import type { ProvisioningAction, ProvisioningRefusal } from './provisioning-admin.ts'
import { ProvisioningRejection } from './provisioning-rejection.ts'

/** What was ordered for requests to come, oldest first. */
export class ProvisioningFaults {
  readonly #dropped = new Map<ProvisioningAction, number>()
  readonly #refusals: { readonly action: ProvisioningAction; readonly refusal: ProvisioningRefusal }[] = []

  dropNextAnswer(action: ProvisioningAction, count = 1): void {
    this.#dropped.set(action, (this.#dropped.get(action) ?? 0) + count)
  }

  failNext(action: ProvisioningAction, refusal: ProvisioningRefusal, count = 1): void {
    for (let left = count; left > 0; left -= 1) this.#refusals.push({ action, refusal })
  }

  /** Throws the refusal that is due for this request, if one is. */
  refuse(action: ProvisioningAction): void {
    const index = this.#refusals.findIndex((each) => each.action === action)
    const [due] = index < 0 ? [] : this.#refusals.splice(index, 1)
    if (due === undefined) return
    const { statusCode, errorCode, errorMessage = `${errorCode} on demand` } = due.refusal
    throw new ProvisioningRejection(statusCode, errorCode, errorMessage)
  }

  /** Whether the answer to this request, which took effect, is to get lost. */
  takeDrop(action: ProvisioningAction): boolean {
    const left = this.#dropped.get(action) ?? 0
    if (left === 0) return false
    this.#dropped.set(action, left - 1)
    return true
  }
}
