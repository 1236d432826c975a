import { readFile } from 'node:fs/promises'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls, getCACertificates } from 'node:tls'

import { withDeadline } from '../../lib/abort.ts'
import { DeadlineError, errorCode } from '../../lib/errors.ts'
import { RtspFault } from './rtsp-fault.ts'

export interface CameraPlace {
  readonly host: string
  readonly port: number
  readonly isTls: boolean
  /** A file of roots in PEM, in place of the system's. */
  readonly ca: string | undefined
}

/**
 * A socket that is connected to a camera; with TLS, its chain, dates and host name are checked. Throws an RtspFault
 * (`unreachable`) when there is none within `withinMs`, or the signal's reason; nothing is left open then.
 */
export async function openCameraSocket(place: CameraPlace, withinMs: number, signal: AbortSignal): Promise<Socket> {
  const roots = place.isTls ? await readRoots(place.ca, signal) : []
  const deadline = { signal, withinMs, what: 'connecting to the camera' }
  let socket: Socket | undefined
  try {
    socket = startConnecting(place, roots)
    destroyOnAbort(socket, signal)
    const { promise: connected, resolve, reject } = Promise.withResolvers<unknown>()
    socket.on('error', reject) // to the end: a socket that is being destroyed may have something to say, too
    socket.once('close', reject)
    socket.once(place.isTls ? 'secureConnect' : 'connect', resolve)
    await withDeadline(deadline, async () => await connected)
    return socket
  } catch (error) {
    socket?.destroy()
    signal.throwIfAborted()
    if (error instanceof DeadlineError) throw unreachable(error.message, error)
    throw unreachable(describe(errorCode(error)), error)
  }
}

function startConnecting({ host, port, isTls }: CameraPlace, ca: readonly string[]): Socket {
  if (!isTls) return connectTcp({ host, port })
  return connectTls({ host, port, ca: [...ca], ...(isIP(host) === 0 ? { servername: host } : {}) })
}

function destroyOnAbort(socket: Socket, signal: AbortSignal): void {
  const onAbort = (): void => {
    socket.destroy()
  }
  signal.addEventListener('abort', onAbort, { once: true })
  socket.once('close', () => {
    signal.removeEventListener('abort', onAbort)
  })
}

async function readRoots(path: string | undefined, signal: AbortSignal): Promise<readonly string[]> {
  if (path === undefined) return getCACertificates('system')
  let text: string
  try {
    text = await readFile(path, { encoding: 'utf8', signal })
  } catch (error) {
    signal.throwIfAborted()
    throw unreachable(`the roots for the camera (ca) cannot be read (${errorCode(error) ?? 'unknown'})`, error)
  }
  if (text.includes('-----BEGIN CERTIFICATE-----')) return [text]
  throw unreachable('the file of roots for the camera (ca) holds no certificate in PEM')
}

/** In our words: what the system says holds names and addresses, which may be parts of a mistyped URL. */
function describe(code = 'unknown'): string {
  const clock = `by the clock of this device, which says ${new Date().toISOString()}`
  switch (code) {
    case 'ECONNREFUSED':
      return 'it refuses connections (ECONNREFUSED)'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `its name cannot be resolved (${code})`
    case 'CERT_HAS_EXPIRED':
      return `its certificate has expired (${code}), ${clock}`
    case 'CERT_NOT_YET_VALID':
      return `its certificate is not valid yet (${code}), ${clock}`
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `its certificate is for another host name (${code})`
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
      return `its certificate is of no authority that is trusted (${code}); ca names the roots to trust for a camera`
    default:
      return `no connection can be made (${code})`
  }
}

function unreachable(message: string, cause?: unknown): RtspFault {
  return new RtspFault(message, { outcome: 'unreachable', cause })
}
