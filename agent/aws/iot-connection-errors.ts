import type { Validity } from '../credentials/server-clock.ts'
import { AgentError } from '../lib/errors.ts'

/** What the MQTT client says of a connection that could not be made, or that ended. */
export interface ConnectionFault {
  /** The CRT's own name, such as AWS_ERROR_MQTT_UNEXPECTED_HANGUP. */
  readonly errorName: string
  readonly message: string
  /** Of the CONNACK or DISCONNECT, if the server sent one (MQTT 5.0, section 2.4). */
  readonly reasonCode?: number | undefined
}

export interface ConnectionContext {
  readonly endpoint: string
  readonly clientId: string
  /** How far the system clock is known to be off; TLS goes by it. */
  readonly clockOffsetMs: number
  /** What to do where the server refuses the certificate; default for that of a device. */
  readonly refusedHint?: string | undefined
}

/** The server is there and does not take this certificate with this client id. */
export class ConnectionRefusedError extends AgentError {
  override readonly name = 'ConnectionRefusedError'
}

/**
 * TLS came to no end, and the CRT does not tell which side gave up. It goes by the system clock: where that is known to be off, or a
 * look found the server's certificate to be out of date by it, that is what the error says.
 */
export class TlsFailedError extends AgentError {
  override readonly name = 'TlsFailedError'
  readonly #where: Pick<ConnectionContext, 'endpoint' | 'clockOffsetMs'>
  readonly #errorName: string
  readonly #outside: Validity | undefined

  /** `outside` are the dates of the server, where the system clock lies outside them. */
  constructor(where: Pick<ConnectionContext, 'endpoint' | 'clockOffsetMs'>, errorName: string, outside?: Validity) {
    const clock = clockText(where.clockOffsetMs, outside)
    super(`${where.endpoint}: TLS failed (${errorName})${clock ?? ''}`, {
      retryable: true,
      hint: clock === undefined ? trustHint : clockHint,
    })
    this.#where = where
    this.#errorName = errorName
    this.#outside = outside
  }

  /** Whether the clock of this side is why. */
  get isOfClock(): boolean {
    return this.hint === clockHint
  }

  /** The same, when more is known of the clock. */
  knowing(clockOffsetMs: number): TlsFailedError {
    return new TlsFailedError({ ...this.#where, clockOffsetMs }, this.#errorName, this.#outside)
  }

  /** The same, when a look has shown that nothing but the certificate of this side can be at fault. */
  asRefusal(hint: string | undefined): ConnectionRefusedError {
    return new ConnectionRefusedError(this.message, { retryable: true, hint: hint ?? this.hint ?? trustHint })
  }
}

const trustHint =
  'check that the certificate is active, that identity.rootCa holds the root of the server, and that nothing between replaces certificates'
const clockHint =
  'set the system clock: by NTP, or touch /etc/panorama-agent/allowed/set-clock as root, which lets the agent have it set'
const clockMattersMs = 3_600_000
const quotaHint =
  'AWS IoT lets a client id connect once a second, and an account 500 times: where only this client was too quick, the next try goes through'
/** MQTT 5.0, section 2.4: reason codes of failures. */
const refusedFrom = 0x80
const reasons = {
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  serverBusy: 0x89,
  takenOver: 0x8e,
  rateTooHigh: 0x96,
  quotaExceeded: 0x97,
} as const

/** Of a server that is trusted but for its dates, which the system clock lies outside of. */
export function outsideDates(
  where: Pick<ConnectionContext, 'endpoint' | 'clockOffsetMs'>,
  dates: Validity,
): TlsFailedError {
  const code = Date.now() < dates.notBeforeMs ? 'CERT_NOT_YET_VALID' : 'CERT_HAS_EXPIRED'
  return new TlsFailedError(where, code, dates)
}

/** Names why there is no MQTT connection, with what the operator can do about it. Always worth another try. */
export function connectionError(fault: ConnectionFault, context: ConnectionContext): AgentError {
  const { errorName, reasonCode = 0 } = fault
  if (reasonCode < refusedFrom && errorName.includes('TLS') && !/PROXY|TIMEOUT/.test(errorName)) {
    return new TlsFailedError(context, errorName)
  }
  const { text, hint, isRefusal = false } = explain(fault, context)
  const options = { retryable: true, ...(hint === undefined ? {} : { hint }) }
  const message = `${context.endpoint}: ${text}`
  return isRefusal ? new ConnectionRefusedError(message, options) : new AgentError(message, options)
}

/** Whether the way to the server can be what is wrong: a proxy, a middlebox, a portal. Else the server has said what is. */
export function isWorthALook({ errorName, reasonCode }: ConnectionFault): boolean {
  return reasonCode === undefined && /TLS|PROXY|HTTP|SOCKET|HANGUP|DNS/.test(errorName)
}

interface Explanation {
  readonly text: string
  readonly hint?: string
  readonly isRefusal?: boolean
}

function explain(fault: ConnectionFault, context: ConnectionContext): Explanation {
  const { reasonCode, errorName, message } = fault
  if (reasonCode !== undefined && reasonCode >= refusedFrom) return ofReason(reasonCode, context)
  if (errorName.includes('UNEXPECTED_HANGUP')) {
    const text = 'the server closed the connection without a reason'
    return { text, hint: policyHint(context), isRefusal: true }
  }
  if (errorName.includes('PROXY')) {
    return { text: `the proxy makes no tunnel (${errorName})`, hint: 'check network.proxy, or HTTPS_PROXY' }
  }
  if (errorName.includes('TIMEOUT')) {
    return { text: `the server does not answer in time (${errorName})`, hint: 'if this goes on, check the network' }
  }
  if (errorName.includes('DNS')) {
    // the CRT sets addresses aside that took no connection, and then says the same of the name (seen with localhost:1)
    return {
      text: `there is no address: the name cannot be resolved, or what it stands for took no connection lately (${errorName})`,
      hint: 'check endpoints.mqtt, its port too, and the network',
    }
  }
  if (errorName.includes('CONNECTION_REFUSED')) {
    return { text: `nothing takes connections there (${errorName})`, hint: 'check endpoints.mqtt and its port' }
  }
  if (errorName.includes('SOCKET_CLOSED')) {
    // how a handshake ends that the server refuses may be lost, as with a revoked certificate
    return {
      text: `the connection was closed from the other side (${errorName})`,
      isRefusal: true,
      hint:
        context.refusedHint ??
        'if this goes on, see that the certificate is active, and that nothing between ends connections',
    }
  }
  return { text: `${message} (${errorName})` }
}

function ofReason(reasonCode: number, context: ConnectionContext): Explanation {
  const shown = `reason code 0x${reasonCode.toString(16)}`
  switch (reasonCode) {
    case reasons.notAuthorized:
      return {
        text: `the server refuses this appliance: not authorized (${shown})`,
        hint: policyHint(context),
        isRefusal: true,
      }
    case reasons.takenOver:
      return {
        text: `another client has connected as ${context.clientId} (${shown})`,
        hint: 'find what else uses this thing name as its client id: a cloned image, or a second agent',
      }
    case reasons.serverUnavailable:
    case reasons.serverBusy:
    case reasons.rateTooHigh:
    case reasons.quotaExceeded:
      return {
        text: `the server takes no more at the moment (${shown})`,
        ...(reasonCode === reasons.quotaExceeded ? { hint: quotaHint } : {}),
      }
    default:
      return { text: `the server ended the connection (${shown})` }
  }
}

function policyHint({ clientId, refusedHint }: ConnectionContext): string {
  if (refusedHint !== undefined) return refusedHint
  return `attach the thing ${clientId} and the policy config/cloud/iot-device-policy.json to the certificate, and see that the certificate is active`
}

function clockText(offsetMs: number, outside: Validity | undefined): string | undefined {
  if (Math.abs(offsetMs) > clockMattersMs) {
    const hours = Math.round(offsetMs / 3_600_000)
    return ` while the system clock is ${Math.abs(hours)} hours ${hours > 0 ? 'slow' : 'fast'}`
  }
  if (outside === undefined) return undefined
  const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10)
  const dates = `from ${day(outside.notBeforeMs)} to ${day(outside.notAfterMs)}`
  return `: the certificate of the server is valid ${dates}, and the system clock says ${new Date().toISOString()}`
}
