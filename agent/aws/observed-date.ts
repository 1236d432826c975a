import type { ChainValidity } from './verify-chain.ts'

/** The `Date` header of a response and what is known about how far to believe it. */
export interface ObservedDate {
  readonly date: string
  /** When the request was sent and its headers arrived, on the monotonic clock. */
  readonly sentMs: number
  readonly receivedMs: number
  /** Set when the dates of the server's certificates could not be checked by TLS. */
  readonly validity: ChainValidity | undefined
}
