import { X509Certificate } from 'node:crypto'

import { AgentError } from '../lib/errors.ts'

/** What is known of the time, in milliseconds since 1970. */
export interface TimeFacts {
  /** By the system clock. */
  readonly nowMs: number
  /** Whether something keeps that right. */
  readonly isRight: boolean
  /** Before which it cannot be, whatever the clock says. */
  readonly notBeforeMs: number
}

/**
 * Throws an AgentError where a certificate has expired or is not valid yet, as far as that is certain. Answers with a warning where only a
 * clock says so that nothing keeps right, and undefined where nothing is wrong.
 */
export function datesWarning(certificate: string, time: TimeFacts): string | undefined {
  const { validFromDate, validToDate } = new X509Certificate(certificate)
  const certainMs = time.isRight ? Math.max(time.nowMs, time.notBeforeMs) : time.notBeforeMs
  if (certainMs > validToDate.getTime()) {
    throw new AgentError(`the certificate expired at ${validToDate.toISOString()}`, {
      hint: `get another one: it is ${time.isRight ? '' : 'at least '}${shown(certainMs)}`,
    })
  }
  const fault = faultAt(time.nowMs, validFromDate, validToDate)
  if (fault === undefined) return undefined
  if (!time.isRight) return `by the system clock, ${shown(time.nowMs)}, which nothing keeps right, ${fault}`
  throw new AgentError(fault, { hint: `get another one: it is ${shown(time.nowMs)}` })
}

function faultAt(nowMs: number, from: Date, to: Date): string | undefined {
  if (nowMs > to.getTime()) return `the certificate expired at ${to.toISOString()}`
  return nowMs < from.getTime() ? `the certificate is not valid before ${from.toISOString()}` : undefined
}

function shown(ms: number): string {
  return new Date(ms).toISOString()
}
