import { Transfers, type TransferLimits } from '../../agent/artifacts/transfer/transfers.ts'

/** Transfers for so many artifacts, without limits but for those given. */
export function sharedTransfers(limits: Partial<TransferLimits> = {}, artifacts = 1): Transfers {
  return new Transfers({
    limits: { windows: [], minFreeBytes: 0, maxInFlightBytes: 64 * 1024 * 1024, ...limits },
    artifacts,
    cloudNow: Date.now,
  })
}
